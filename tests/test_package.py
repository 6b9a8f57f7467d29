"""The wheel: whole, typed, and at work outside the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    """Unpacked alone, on the dependencies of this environment."""
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("nstjax-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "nstjax/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "experiments", "ckpts"))]
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "nstjax").rglob("*.py")}
    assert sources <= set(names)
    program = (
        "import nstjax, nstjax.cli.main as m; print(nstjax.__file__); raise SystemExit(m.main(['info']))"
    )
    env = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "", "NSTJAX_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout
