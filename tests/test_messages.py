"""Library messages name fields in backticks; the command line shows their flags."""

import ast
import contextlib
import dataclasses
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from nstjax.cli.exits import about
from nstjax.cli.flags import FLAGS, with_flags
from nstjax.cli.main import main
from nstjax.cli.runtime import warnings_as_notes
from nstjax.data import DataConfig
from nstjax.errors import InputError, InputWarning, OutputError
from nstjax.generators import JohnsonConfig, UlyanovConfig
from nstjax.losses import Objective
from nstjax.optim import OPTIMIZERS
from nstjax.synthesis import Settings, TransferConfig
from nstjax.training import Cadence, TrainSettings
from tests.helpers.paths import ROOT

PACKAGE = ROOT / "nstjax"
LIBRARY = [
    path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in ("cli", "web")
]
PIP = PACKAGE / "weights" / "package_index.py"  # passes options to pip, each a string of its own
COMMANDS = (
    *(["transfer"], ["texture"], ["reconstruct"], ["train"], ["stylize"], ["export"]),
    *(["weights", "fetch"], ["weights", "convert"]),
)
PARAMETERS = ("convolution", "estimate", "how", "kernel", "kind", "method", "normalization", "reduction")
PYTHON_ONLY = {
    *("least", "softness", "tolerance"),  # of SteadyConfig
    *PARAMETERS,
    "frames",
    "images",
    "code",
    "inputs",
    "layers",
    "max_backtracks",
    "method",
    "photo",
    "shuffle",
    "x_weights",
    "y_weights",
}
"""Names without a flag: the command line never passes them, or passes only valid values."""
HELPERS = {"one_of": 0, "within": 0, "check_positive": 0, "check_layers": 2}
"""Functions that put backticks around an argument, and its position."""


def _docstrings(tree: ast.AST) -> set[ast.AST]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _texts(path: Path) -> Iterator[tuple[ast.Constant, bool]]:
    """String literals, and parts of f-strings, each with whether it is a docstring."""
    tree = ast.parse(path.read_text())
    docstrings = _docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node, node in docstrings


def _named(path: Path) -> set[str]:
    """Names in backticks in a file's messages, those that helpers add included."""
    found = {
        name
        for node, docstring in _texts(path)
        if not docstring
        for name in re.findall(r"`([^`\s]+)`", str(node.value))
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in HELPERS:
            named = node.args[HELPERS[node.func.id] :][:1]
            found |= {str(arg.value) for arg in named if isinstance(arg, ast.Constant)}
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check_choices":
            found |= {
                str(given.value.value) for given in node.keywords if isinstance(given.value, ast.Constant)
            }
    return found


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Every flag of the commands' whole help."""
    found: set[str] = set()
    for command in COMMANDS:
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            main([*command, "--help-all"])
        found |= set(re.findall(r"--[a-z][a-z0-9-]*", text.getvalue()))
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_library_names_no_flags(path: Path) -> None:
    for node, _ in _texts(path):
        text = re.sub(r"'nstjax [^']*'", "", str(node.value))  # a whole command to copy
        if path == PIP and text.startswith("--"):
            continue
        assert not re.search(r"(?<![\w-])(--[a-z]|-o\b)", text), f"line {node.lineno}: {text}"


def test_every_name_in_a_message_has_a_flag(flags: set[str]) -> None:
    names = set().union(*map(_named, LIBRARY))
    assert len(names) > 80
    for name in names - PYTHON_ONLY:
        assert with_flags(f"`{name}` is 0") in {f"{flag} is 0" for flag in flags}, name
    for name in PYTHON_ONLY:
        assert with_flags(f"`{name}` is 0") == f"`{name}` is 0"
    assert set(FLAGS.values()) <= flags
    others = {
        "generator.kind",
        "generator.styles",
        "data.size",
        "data.seed",
    }  # used by --resume, and in a loop of DataConfig
    assert set(FLAGS) - others <= names, "an entry that no message needs"


@pytest.mark.parametrize(
    ("record", "prefix"),
    [
        *((kind, "") for kind in (Settings, Objective, TrainSettings, Cadence, *OPTIMIZERS.values())),
        *((kind, "generator.") for kind in (JohnsonConfig, UlyanovConfig)),
        (DataConfig, "data."),
    ],
)
def test_every_field_has_a_flag(record: type, prefix: str, flags: set[str]) -> None:
    for field in dataclasses.fields(record):
        if field.name not in PYTHON_ONLY:
            assert with_flags(f"`{prefix}{field.name}`") in flags


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`mask_carry` is 'foo': it must be one of", "--mask-carry is 'foo': it must be one of"),
        ("a.json is damaged (`size` is 0)", "a.json is damaged (--size is 0)"),
        ("try a smaller `data.size` or `batch_size`", "try a smaller --crop or --batch-size"),
        ("start without `resume`", "start without --resume"),
        ("`generator.width` is 0", "--width is 0"),
        ("`arch`: say `spec` embedded", "--network: say --weights embedded"),
        ("the shell's `date` is no field", "the shell's `date` is no field"),
        ("cannot read a/`size`, `size`.png and `size`/b", "cannot read a/`size`, `size`.png and `size`/b"),
        ("``size`` and `Size` and `si ze`", "``size`` and `Size` and `si ze`"),
    ],
)
def test_flags_stand_for_fields(message: str, shown: str) -> None:
    assert with_flags(message) == shown


def test_one_mistake_is_told_in_two_languages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="^`tile` is 8: it must be between 32 and"):
        TransferConfig(tile=8)
    assert main(["transfer", "a.png", "b.png", "-o", "c.png", "--tile", "8"]) == 2
    assert capsys.readouterr().err.startswith("nstjax: error: --tile is 8: it must be between 32 and")


def test_notes_and_errors_of_one_picture_show_flags() -> None:
    said: list[str] = []
    with warnings_as_notes(said.append):
        warnings.warn("`data.source` photos: skipped a.txt", InputWarning, stacklevel=1)
    assert said == ["note: --data photos: skipped a.txt"]
    path = Path("a.png")
    assert str(about(InputError("choose a smaller `size`"), path)) == "choose a smaller --size"
    assert str(about(InputError("it is empty"), path)) == "a.png: it is empty"
    failed = about(OutputError("disk full: choose a smaller `size`"), path)
    assert (type(failed), str(failed)) == (OutputError, "disk full: choose a smaller --size")
