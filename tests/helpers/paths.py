"""Paths of the checkout and of the material beside it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
REAL_WEIGHTS = SHARED / "weights" / "vgg19_blocks1-3_keras_layout.h5"


def whole_network(arch: str) -> Path:
    """Return the file of a whole network's weights; skip the test if it does not exist."""
    path = SHARED / "weights" / f"{arch}_keras_layout.h5"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path
