"""Measures of ``nstjax train --preset quick``: ``python -m experiments.models.quick``.

Trains a generator with the preset ``quick`` for each of several paintings, by the command of the README, on photographs
drawn from a folder. Each generator and ``gallery`` then stylize photographs that neither was trained with, at 512 pixels.
The pictures are measured with VGG-19 by the default objective of a transfer. The command needs ``--photographs``,
``--weights`` with VGG-19 and ``--images``; it writes ``quick.json`` and ``quick.jpg``. It takes about five minutes for
each painting on 2 cores; run it on an otherwise idle machine.
"""

import dataclasses
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

import nstjax
from experiments import common
from experiments.common import Lab, fit
from experiments.distill.score import PHOTOGRAPHS, photograph, teacher_terms
from experiments.models.measure import SIDE, STRIDES, saturated
from experiments.pomona_johnson.measures import checkerboard_ratio
from nstjax import TransferConfig
from nstjax.images import find_images
from nstjax.inference import stylize
from nstjax.reports import Cell, contact_sheet, environment


@dataclasses.dataclass(frozen=True)
class Arguments(common.Arguments):
    """Command-line arguments."""

    photographs: Path = dataclasses.field(kw_only=True)
    """Folder of training photographs."""
    count: int = 60
    """Number of photographs to train with."""
    paintings: tuple[str, ...] = ("great_wave", "udnie", "woman_with_hat", "shipwreck", "the_scream")
    """Paintings of --images to train with; they are also styles of gallery."""
    shown: int = 4
    """Number of photographs to stylize."""
    steps: int | None = None
    """Number of training steps; by default that of the preset."""


def train_seconds(painting: Path, photographs: Path, run: Path, steps: int | None) -> float:
    """Train with the preset ``quick``; return the seconds of the command."""
    words = ["train", "--style", painting, "--data", photographs, "-o", run, "--preset", "quick"]
    if steps is not None:
        words += ["--steps", str(steps)]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nstjax", *map(str, words)], check=True, capture_output=True)
    return time.perf_counter() - began


def main(arguments: Arguments) -> None:
    """Train, make and measure the pictures."""
    lab = Lab(arguments, Path(__file__).parent)
    lab.refuse_figures()
    gallery, config = nstjax.load_generator("gallery"), TransferConfig(size=SIDE)
    files = random.Random(0).sample(find_images(arguments.photographs), arguments.count)
    rows: list[list[Cell]] = []
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as text:
        photographs = Path(text) / "photographs"
        photographs.mkdir()
        for file in files:
            shutil.copy(file, photographs)
        for number, name in enumerate(arguments.paintings):
            style, run = lab.picture("style", name), lab.out / "runs" / f"quick_{name}"
            painting = Path(text) / f"{name}.png"
            nstjax.save_image(painting, style)
            shutil.rmtree(run, ignore_errors=True)
            seconds = train_seconds(painting, photographs, run, arguments.steps)
            generator = nstjax.load_generator(run)
            losses: dict[str, list[float]] = {"photograph": [], "gallery": [], "quick": []}
            grids, flat = [], []
            for shown in range(arguments.shown):
                photo = fit(photograph(lab, PHOTOGRAPHS[shown]), SIDE)
                pictures = {
                    "photograph": photo,
                    "gallery": stylize(gallery, photo, style=name),
                    "quick": stylize(generator, photo),
                }
                for kind, image in pictures.items():
                    losses[kind].append(teacher_terms(image, photo, style, lab.backbone, config)["total"])
                grids.append(max(checkerboard_ratio(pictures["quick"], stride) for stride in STRIDES))
                flat.append(saturated(pictures["quick"]))
                if shown == number % arguments.shown or shown == 0:
                    cells = [(image, kind) for kind, image in pictures.items()]
                    rows.append([(fit(style, 384), name), *cells])
            mean = {kind: round(float(np.mean(values)), 3) for kind, values in losses.items()}
            found[name] = {
                "seconds": round(seconds, 1),
                "loss": mean,
                "quick / gallery": round(mean["quick"] / mean["gallery"], 3),
                "grid": [round(value, 2) for value in grids],
                "saturated": round(max(flat), 5),
            }
            print(name, json.dumps(found[name]), flush=True)
    contact_sheet(lab.out / "quick.jpg", rows, cell=2.6)
    record = {"paintings": found, "photographs": PHOTOGRAPHS[: arguments.shown], "environment": environment()}
    (lab.out / "quick.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
