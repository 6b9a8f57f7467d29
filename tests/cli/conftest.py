"""Fixtures of the tests of the command line."""

from pathlib import Path

import numpy as np
import pytest

import nstjax
from tests.helpers.networks import random_params


@pytest.fixture
def folder(tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a photograph, a painting and weights."""
    content, style = pictures
    nstjax.save_image(tmp_path / "photo.png", content)
    nstjax.save_image(tmp_path / "painting.png", style)
    arrays = {f"{c}/{k}": v for c, w in random_params("vgg19", 3).items() for k, v in w.items()}
    np.savez(tmp_path / "weights.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    return tmp_path
