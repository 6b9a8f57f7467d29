"""The notebooks run from the first cell to the last, at a tiny size."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.helpers.notebooks import NOTEBOOKS, read_notebook, run_notebook
from tests.helpers.paths import ROOT

IMAGES = {"first_picture": 7, "own_style_loss": 3}
"""Number of cells of each notebook that display an image."""


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path) -> None:
    assert len(run_notebook(path, tmp_path, 40)) == IMAGES[path.stem]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    for cell in read_notebook(path):
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert path.stat().st_size < 50_000


def test_every_notebook_installs_the_same_source() -> None:
    assert {path.stem for path in NOTEBOOKS} == IMAGES.keys()
    installs = {
        "".join(read_notebook(path)[1 if path.stem == "own_style_loss" else 2]["source"])
        for path in NOTEBOOKS
    }
    (install,) = installs
    source = re.search(r'^SOURCE = "(.*?)"', install, re.MULTILINE)
    assert source is not None
    # Empty until the project names its repository.
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {})
    repository = next((url for name, url in urls.items() if name.lower() in ("repository", "source")), "")
    assert source[1] == (f"git+{repository}" if repository else "")
