"""Documents name files that exist."""

import re

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.parametrize("name", ["docs/architecture.md", "README.md", "CONTRIBUTING.md"])
def test_named_files_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for path in re.findall(r"`([\w./]+/[\w.]+\.(?:py|md|toml|json))`", text):
        assert any((top / path).exists() for top in (ROOT, ROOT / "nstjax")), path
    for path in re.findall(r"\]\(([\w./-]+)\)", text):
        assert ((ROOT / name).parent / path).exists(), path
