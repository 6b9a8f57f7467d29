"""Packaging: what the wheel contains, and what it depends on."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nstjax
from nstjax.cli.info_command import EXTRAS
from nstjax.generators.store import installed_generators
from nstjax.paintings import paint
from tests.helpers.paths import ROOT


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "nstjax").rglob("__init__.py")}
    assert set(settings["packages"]) == found | {"nstjax.ckpts"}
    assert settings["package-dir"] == {"nstjax.ckpts": "ckpts"}


def test_one_version() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "nstjax.__version__"}}
    assert f"\nversion: {nstjax.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_a_plain_install_has_wheels_on_every_system() -> None:
    # array_record has none for Windows, promise (of TensorFlow Datasets) none at all: uv pip compile
    # --python-platform windows --only-binary :all: pyproject.toml.
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = " ".join(settings["dependencies"])
    datasets = settings["optional-dependencies"]["datasets"]
    for package in ("tensorflow-datasets", "array_record"):
        assert package not in plain
        assert any(line.startswith(package) for line in datasets)
    assert "nstjax[cluster,datasets,onnx,video]" in settings["optional-dependencies"]["test"]


def test_info_knows_every_extra_for_users() -> None:
    """Devices are shown on their own, and the other extras are for developers."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    others = {"cuda", "tpu", "test", "torch", "docs", "browser"}
    assert set(EXTRAS) == set(extras) - others


SHIPPED = ("gallery",)


@pytest.mark.parametrize("name", ["embedded", *SHIPPED])
def test_stores_tell_nothing_of_the_machine_they_were_made_on(name: str) -> None:
    for path in (ROOT / "ckpts" / name).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"/work" not in content
            assert b"/home" not in content
            assert b"/tmp" not in content


@pytest.mark.slow
def test_the_wheel_holds_the_network_and_the_demo(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode and "setuptools" in done.stderr:
        pytest.skip("the build needs setuptools, which cannot be fetched")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    elsewhere = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(elsewhere)
    assert "CC BY 4.0" in (elsewhere / "nstjax" / "ckpts" / "README.md").read_text()
    program = "import sys, nstjax.cli.main as m; print(m.__file__); sys.exit(m.main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(elsewhere)}

    def run(*command: str) -> str:
        arguments = [sys.executable, "-c", program, *command]
        ran = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    said = run("demo", "-o", "pictures", "--size", "32", "--iterations", "2", "--paintings", "knife")
    assert str(elsewhere) in said  # the wheel's own code, not the checkout's
    assert (tmp_path / "pictures" / "sheet.png").exists()
    photograph = ROOT / "experiments" / "distill" / "figures" / "demo.jpg"
    run(
        "stylize",
        str(photograph),
        "--model",
        "gallery",
        "--style",
        "starry_night",
        "--size",
        "64",
        "-o",
        "starry.png",
    )
    assert (tmp_path / "starry.png").exists()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_generator_that_ships_paints(name: str) -> None:
    """Small, and neither grey nor the photograph; what its record says is what it is."""
    assert sum(path.stat().st_size for path in (ROOT / "ckpts" / name).rglob("*") if path.is_file()) <= 2e6
    generator = nstjax.load_generator(ROOT / "ckpts" / name)
    assert generator.record["dtype"] == "int8"
    parts = [generator.record["training"], *generator.record["trained_before"]]
    assert generator.record["steps"] == sum(part["steps"] for part in parts)
    photo = paint("knife", 96, 128)
    picture = nstjax.stylize(generator, photo, style="starry_night")
    assert picture.shape == photo.shape
    assert picture.std() > 0.1
    assert np.abs(picture - photo).mean() > 0.05
    # What is light stays light: the photograph is still in it.
    assert np.corrcoef(picture.mean(-1).ravel(), photo.mean(-1).ravel())[0, 1] > 0.3


def test_they_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert set(SHIPPED) <= set(installed_generators())
