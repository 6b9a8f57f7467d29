"""The generator that ships: ``python -m experiments.models --photographs DIR --images DIR``.

Trains ``gallery``, one generator of sixteen styles, with the embedded network, saves it with 8 bits for each
weight to ``ckpts/`` (or ``--to``), and stylizes photographs that were not used for training. Run time: about 90
minutes on 2 cores. An interrupted training is resumed. :mod:`experiments.models.measure` measures the result.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.common import Lab, fit
from experiments.programs import keep_programs
from experiments.trained import TrainArguments, TrainLab
from nstjax.data import DataConfig
from nstjax.files import folder_bytes
from nstjax.generators.store import Generator, load_generator, save_generator
from nstjax.images.display import thumbnail
from nstjax.inference import stylize
from nstjax.paintings import paint
from nstjax.reports import Cell, contact_sheet
from nstjax.training import TrainConfig
from nstjax.training.presets import GALLERY_NETWORK

FOLDER = Path(__file__).parent
NAME = "gallery"
SHOWN, THUMB = 384, 192  # longer side of the pictures and the paintings on the sheet in pixels
COLUMNS = 8  # styles in a row of the sheet


@dataclasses.dataclass(frozen=True)
class Look:
    """One style of the generator.

    Attributes:
        painting: name of an image of ``images/style``, or a motif of :mod:`nstjax.paintings` and its seed.
        about: origin of the style image.
    """

    painting: str | tuple[str, int]
    about: str


OWN = "made by nstjax.paintings; no rights reserved"
STYLES = {
    "starry_night": Look("starry_night", "Vincent van Gogh, The Starry Night, 1889; public domain"),
    "rhone_night": Look("rhone_night", "Vincent van Gogh, Starry Night Over the Rhône, 1888; public domain"),
    "wheatfield": Look("wheatfield", "Vincent van Gogh, Wheat Field with Cypresses, 1889; public domain"),
    "great_wave": Look("great_wave", "Katsushika Hokusai, The Great Wave off Kanagawa, 1831; public domain"),
    "the_scream": Look("the_scream", "Edvard Munch, The Scream, 1893; public domain"),
    "shipwreck": Look(
        "shipwreck", "J. M. W. Turner, The Shipwreck of the Minotaur, about 1810; public domain"
    ),
    "udnie": Look("udnie", "Francis Picabia, Udnie, 1913; public domain"),
    "woman_with_hat": Look("woman_with_hat", "Henri Matisse, Woman with a Hat, 1905; public domain"),
    "night": Look(("swirls", 1), OWN),
    "dusk": Look(("swirls", 3), OWN),
    "surf": Look(("waves", 3), OWN),
    "dots": Look(("dots", 1), OWN),
    "shards": Look(("shards", 0), OWN),
    "glass": Look(("glass", 0), OWN),
    "meadow": Look(("knife", 0), OWN),
    "heath": Look(("knife", 1), OWN),
}
NETWORK = dataclasses.replace(GALLERY_NETWORK, styles=len(STYLES))
CONFIG = TrainConfig(
    steps=4500,
    learning_rate=2e-3,
    schedule="cosine",
    warmup_steps=100,
    clip=20.0,
    style_size=512,
    generator=dataclasses.replace(NETWORK, upsampling="nearest"),
    data=DataConfig("photographs", size=192, batch_size=4, zoom=(1.0, 1.5)),
)
# Nearest-neighbor upsampling learns sooner, and leaves a faint pattern with the period of the strides. The second
# part of the training, with bilinear upsampling, reduces it.
SECOND = dataclasses.replace(
    CONFIG,
    steps=700,
    learning_rate=1e-3,
    warmup_steps=20,
    generator=NETWORK,
)
# The third part, with a loss for patterns that repeat with the strides, removes most of the rest.
THIRD = dataclasses.replace(SECOND, steps=900, grid_weight=200.0)
PARTS = {NAME: CONFIG, f"{NAME}, second part": SECOND, f"{NAME}, third part": THIRD}
"""Settings of the parts of the training, by the name of their run."""


@dataclasses.dataclass(frozen=True)
class Arguments(TrainArguments):
    """Command-line arguments: the folder for the store."""

    weights: str = "embedded"
    """Name of installed weights, a weights file, or the folder of a store."""
    to: Path = Path("ckpts")
    """Folder for the store."""


def painting_of(lab: Lab, look: Look) -> np.ndarray:
    """Load or generate a style image."""
    if isinstance(look.painting, str):
        return lab.picture("style", look.painting)
    motif, seed = look.painting
    return np.asarray(paint(motif, seed=seed))


def record_of(lab: TrainLab, configs: list[TrainConfig], paintings: list[np.ndarray]) -> dict[str, Any]:
    """Return the record that is stored with the generator. It has no facts about the machine."""
    parts = [part.for_backbone(lab.backbone).to_json() for part in configs]
    for training in parts:
        training["data"]["source"] = "photographs"  # not the path on this machine
    styles = [
        {"name": name, "about": look.about, "thumbnail": thumbnail(painting)}
        for (name, look), painting in zip(STYLES.items(), paintings, strict=True)
    ]
    return {
        "styles": styles,
        "steps": sum(config.steps for config in configs),
        "training": parts[-1],
        "trained_before": parts[:-1],
        "weights": lab.backbone.describe(),
        "final_loss": lab.results[tuple(PARTS)[-1]]["final_loss"],
    }


def middle(image: np.ndarray) -> np.ndarray:
    """Return the central square of an image ``(1, h, w, 3)``."""
    height, width = image.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def sheet(lab: Lab, generator: Generator, paintings: list[np.ndarray]) -> None:
    """Write a sheet of the photographs in all styles, with the paintings above them."""
    photos = [fit(lab.picture("content", name), SHOWN) for name in lab.names("content")]
    rows: list[list[Cell]] = []
    names = list(STYLES)
    for first in range(0, len(names), COLUMNS):
        group = range(first, min(first + COLUMNS, len(names)))
        rows.append([(fit(middle(paintings[i]), THUMB), names[i]) for i in group])
        rows += [[(stylize(generator, photo, style=names[i]), "") for i in group] for photo in photos]
    contact_sheet(lab.out / "models.jpg", rows, cell=1.7)


def main(arguments: Arguments) -> None:
    """Train the generator, save it, and make a sheet of its results."""
    keep_programs()
    lab = TrainLab(arguments, FOLDER)
    lab.refuse_figures()
    paintings = [painting_of(lab, look) for look in STYLES.values()]
    data = dataclasses.replace(CONFIG.data, source=str(arguments.photographs))
    configs = [
        dataclasses.replace(config, data=data, steps=arguments.steps or config.steps)
        for config in PARTS.values()
    ]
    generator: Generator | None = None
    for label, config in zip(PARTS, configs, strict=True):
        start = None if generator is None else generator.variables
        generator = lab.train(label, config, paintings, start, sample_every=500).generator
        if generator is None:
            raise SystemExit(f"{label}: {lab.results[label]['failure']}")
    assert generator is not None
    store = arguments.to / NAME
    save_generator(store, generator.config, generator.variables, record_of(lab, configs, paintings), np.int8)
    sheet(lab, load_generator(store), paintings)
    lab.note("bytes on disk", folder_bytes(store))
    lab.finish()


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
