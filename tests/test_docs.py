"""Documents name files that exist, and the reference has every public name."""

import importlib
import re
import tomllib
import types

import pytest

from nstjax.cli.main import main
from tests.helpers.documents import pages
from tests.helpers.paths import ROOT

EXPERIMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments").glob("*/README.md"))
NOT_PUBLIC = {"nstjax.cli", "nstjax.web", "nstjax.ckpts"}  # the command line, the web page, and data


@pytest.mark.parametrize("name", [*pages(), "CONTRIBUTING.md", "CHANGELOG.md", *EXPERIMENTS])
def test_named_files_exist(name: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(), flags=re.DOTALL | re.MULTILINE)
    for path in re.findall(r"`([\w./]+/[\w.]+\.(?:py|md|toml|json))`", text):
        assert any((top / path).exists() for top in (ROOT, ROOT / "nstjax", (ROOT / name).parent)), path
    for path in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text):
        assert ((ROOT / name).parent / path).exists(), path


def entries() -> dict[str, list[str] | None]:
    """The objects that the reference pages describe, with the members that are listed, or None for all public ones."""
    found: dict[str, list[str] | None] = {}
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for name, options in re.findall(r"^::: (\S+)\n((?: .*\n)*)", page.read_text() + "\n", re.MULTILINE):
            listed = re.search(r"members: \[(.*?)\]", options)
            found[name] = re.findall(r"\w+", listed[1]) if listed else None
    return found


def public_packages() -> list[str]:
    """The packages of nstjax, and those modules whose names ``nstjax`` itself has."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    return [name for name in listed if name not in NOT_PUBLIC]


@pytest.mark.parametrize("package", public_packages())
def test_the_reference_has_every_public_name(package: str) -> None:
    module, reference = importlib.import_module(package), entries()
    for name in getattr(module, "__all__", ()):
        full = f"{package}.{name}"
        if isinstance(getattr(module, name), types.ModuleType):
            assert full in reference, full
            continue
        # A function with the name of its module: Griffe would take the module.
        shadowed = any(
            (ROOT / package.replace(".", "/") / f"{name}{end}").exists() for end in (".py", "/__init__.py")
        )
        whole = package in reference and reference[package] is None and not shadowed
        listed = name in (reference.get(package) or ())
        assert whole or listed or full in reference or f"{full}.{name}" in reference, full


@pytest.mark.parametrize("name", sorted(entries()))
def test_what_the_reference_names_exists(name: str) -> None:
    place, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        assert hasattr(importlib.import_module(place), attribute), name


def _options_in_text(page: str) -> set[str]:
    """The options that a page names outside its code blocks."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    return {
        flag for span in re.findall(r"`([^`]+)`", text) for flag in re.findall(r"--[a-z][a-z0-9-]+", span)
    }


def test_the_options_that_texts_name_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    known = set(re.findall(r"--[a-z][a-z0-9-]+", capsys.readouterr().out))
    assert len(known) > 100
    others = {"--full", "--images", "--photographs"}  # of experiments
    others |= {"--python-platform", "--only-binary", "--memory-limit"}  # of uv and Dask
    named = {flag: page for page in [*pages(), "CONTRIBUTING.md"] for flag in _options_in_text(page)}
    assert {flag: page for flag, page in named.items() if flag not in known | others} == {}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in pages()[1:]:
        assert f" {page.removeprefix('docs/')}\n" in navigation, page


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
