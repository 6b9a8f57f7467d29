"""Measures of the generator that ships: ``python -m experiments.models.measure --weights VGG19 --images DIR``.

For each style one photograph that was not used for training is stylized at 512 pixels. The picture is measured
with VGG-19 by the default objective of a transfer, beside the photograph itself and the result of a few
iterations of the per-image optimization. Grids and flat saturated areas are measured too. The command writes
``measures.json`` and ``measures.jpg``; it takes about ten minutes on 2 cores.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro
from scipy import ndimage

import nstjax
from experiments import common
from experiments.common import Lab, fit, luminance
from experiments.distill.score import PHOTOGRAPHS, photograph, teacher_terms
from experiments.models.__main__ import NAME, STYLES, painting_of
from experiments.pomona_johnson.measures import checkerboard_ratio
from nstjax import TransferConfig
from nstjax.inference import stylize
from nstjax.optim import Lbfgs
from nstjax.reports import Cell, contact_sheet, environment

SIDE = 512  # longer side of the pictures in pixels
STRIDES = (4, 8)  # pixels; the network has three strides of 2
FLAT = 9  # side in pixels of the square that must be saturated


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    model: str = NAME
    """Name or folder of the generator."""
    iterations: int = 20
    """Iterations of the per-image optimization to compare with."""
    compared: int = 16
    """Number of styles, the first ones, that are compared with it."""


def saturated(image: np.ndarray) -> float:
    """Return the share of the pixels in the middle of a square that is black or white throughout.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
    """
    light = luminance(image)
    white, black = ndimage.minimum_filter(light, FLAT), ndimage.maximum_filter(light, FLAT)
    return float(np.mean((white > 0.98) | (black < 0.02)))


def main(arguments: Arguments) -> None:
    """Make and measure the pictures."""
    lab = Lab(arguments, Path(__file__).parent)
    lab.refuse_figures()
    generator = nstjax.load_generator(arguments.model)
    config = TransferConfig(size=SIDE)
    rows: list[list[Cell]] = []
    found = {}
    for number, (style, look) in enumerate(STYLES.items()):
        name = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
        photo, painting = fit(photograph(lab, name), SIDE), painting_of(lab, look)
        pictures = {"photograph": photo, "gallery": stylize(generator, photo, style=style)}
        if number < arguments.compared:
            optimizer = Lbfgs(iterations=arguments.iterations)
            brief = dataclasses.replace(config, scales=(SIDE,), optimizer=optimizer)
            pictures["L-BFGS"] = nstjax.transfer(photo, painting, lab.backbone, brief).image
        entry: dict[str, object] = {"name": name}
        for kind, image in pictures.items():
            terms = teacher_terms(image, photo, painting, lab.backbone, config)
            entry[kind] = {
                "loss": round(terms["total"], 4),
                "grid": round(max(checkerboard_ratio(image, stride) for stride in STRIDES), 3),
                "saturated": round(saturated(image), 5),
            }
        found[style] = entry
        print(style, entry, flush=True)
        kinds = {"photograph": name, "gallery": "one pass", "L-BFGS": f"{arguments.iterations} iterations"}
        rows.append(
            [(fit(painting, 256), style), *((image, kinds[kind]) for kind, image in pictures.items())]
        )
        nstjax.save_image(lab.out / "runs" / f"{style}_{name}.png", pictures["gallery"])
    contact_sheet(lab.out / "measures.jpg", rows, cell=2.4)
    record = {"styles": found, "iterations": arguments.iterations, "environment": environment()}
    (lab.out / "measures.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
