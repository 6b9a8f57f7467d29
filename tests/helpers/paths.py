"""The checkout, and the material beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
REAL_WEIGHTS = SHARED / "weights" / "vgg19_blocks1-3_keras_layout.h5"
