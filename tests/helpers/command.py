"""A small transfer on the command line."""

from pathlib import Path

import numpy as np
from PIL import Image

from nstjax.cli.main import main

QUICK = ["--network", "vgg19", "--scales", "16", "24", "--iterations", "8", "-q"]


def transfer(*extra: str, output: str = "out.png", content: str = "photo.png") -> int:
    return main(["transfer", content, "painting.png", "-o", output, "-w", "weights.npz", *QUICK, *extra])


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)
