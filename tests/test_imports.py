"""The import table of the design, held."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGE = ROOT / "nstjax"

ALWAYS = {"errors", "files", "free_memory", "linear", "locks", "pixels", "plain", "preprocessing", "typing"}
TABLE: dict[str, set[str]] = {
    "blas": set(),
    "digests": set(),
    "eight_bit": set(),
    "errors": set(),
    "files": {"private"},
    "free_memory": set(),
    "heap": set(),
    "linear": set(),
    "locks": set(),
    "pixels": set(),
    "plain": set(),
    "preprocessing": set(),
    "private": set(),
    "programs": {"sealed", "private"},
    "sealed": {"private"},
    "typing": set(),
    "checkpoints": {"digests"},
    "stores": {"checkpoints"},
    "images": set(),
    "paintings": set(),
    "nn": set(),
    "losses": set(),
    "optim": {"programs"},
    "weights": {"nn", "checkpoints", "stores", "digests", "eight_bit"},
    "generators": {"nn", "checkpoints", "stores", "eight_bit"},
    "data": {"images"},
    "inference": {"images", "nn", "generators", "programs"},
    "arbitrary": {"programs", "images", "nn", "losses", "weights", "generators", "checkpoints", "eight_bit"},
    "training": {
        "images",
        "nn",
        "weights",
        "losses",
        "generators",
        "data",
        "checkpoints",
        "digests",
        "inference",
        "reports",
    },
    "synthesis": {"images", "nn", "weights", "losses", "optim", "programs"},
    "reports": {"images"},
    "cli": {
        *("images", "nn", "weights", "losses", "optim", "synthesis", "reports", "checkpoints", "paintings"),
        *(
            "generators",
            "data",
            "training",
            "inference",
            "arbitrary",
            "blas",
            "heap",
            "programs",
            "private",
            "digests",
        ),
    },
    "web": {"cli", "generators", "heap", "images", "losses", "paintings", "synthesis", "weights"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Modules of nstjax that a file imports, anywhere in it, by the layer they are of."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            names = [base] if base != "nstjax" else [f"nstjax.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("nstjax.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_downwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    layer = relative.parts[0].removesuffix(".py")
    if layer in ("__init__", "__main__"):
        return
    assert layer in TABLE, f"{layer} is not in the design's table"
    assert imported(path) - {layer} <= TABLE[layer] | ALWAYS


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_orbax_and_jaxopt_have_one_door_each(path: Path) -> None:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    assert ("orbax" in roots) <= (path.name == "checkpoints.py")
    assert ("jaxopt" in roots) <= (path.name == "lbfgs.py")
    assert "torch" not in roots
    assert "tensorflow" not in roots


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_of_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_experiments_import_nstjax_and_their_own_only() -> None:
    for path in (ROOT / "experiments").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nstjax"):
                assert "cli" not in (node.module or "").split("."), path


def test_tests_share_code_through_helpers_only() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tests":
                assert (node.module or "").split(".")[1:2] in ([], ["helpers"], ["fuzz"]), path
                assert (
                    all(alias.name in ("helpers", "fuzz") for alias in node.names) or node.module != "tests"
                )


# Names that several files define on purpose.
SAME_NAMES = {
    "PALETTES": "one in each file of nstjax/paintings, which paints by it",
}


def test_no_public_name_is_defined_twice() -> None:
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                signature_only = any("overload" in ast.dump(one) for one in node.decorator_list)
                names = [] if signature_only else [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if not name.startswith("_"):
                    places.setdefault(name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: where for name, where in places.items() if len(where) > 1}.keys() == SAME_NAMES.keys()


def test_the_package_and_its_help_start_without_jax() -> None:
    for code in ("import nstjax", "from nstjax.cli.main import main; main(['--help'])"):
        check = f"import sys; {code}; assert not {{'jax', 'numpy'}} & set(sys.modules), sorted(sys.modules)"
        subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)
