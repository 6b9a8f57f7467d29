"""The generators that ship: ``python -m experiments.models --photographs DIR --images DIR``.

Trains each generator with ``embedded-v1``, saves it in float16 to ``ckpts/`` (or ``--to``), and stylizes
photographs that were not used for training. Run time: about a quarter of an hour each on 2 cores. An
interrupted training is resumed.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.common import fit
from experiments.programs import keep_programs
from experiments.trained import TrainArguments, TrainLab
from nstjax.data import DataConfig
from nstjax.generators import JohnsonConfig
from nstjax.generators.store import load_generator, save_generator
from nstjax.inference import stylize
from nstjax.paintings import paint
from nstjax.reports import Cell, contact_sheet
from nstjax.training import TrainConfig

FOLDER = Path(__file__).parent
SHOWN = 384  # longer side of the images on the sheet in pixels


@dataclasses.dataclass(frozen=True)
class Model:
    """Settings of one generator.

    Attributes:
        painting: name of an image of ``images/style``, or a motif of :mod:`nstjax.paintings` and its seed.
        about: origin and license of the style image.
        style_weight: style weight, to a content weight of 1, with relative losses.
    """

    painting: str | tuple[str, int]
    about: str
    style_weight: float


MODELS = {
    "starry_night": Model(
        "starry_night", "Vincent van Gogh, The Starry Night, 1889; public domain", style_weight=12.0
    ),
    "dots": Model(("dots", 3), "made by nstjax.paintings; no rights reserved", style_weight=12.0),
}
CONFIG = TrainConfig(
    steps=2000,
    learning_rate=3e-3,
    schedule="cosine",
    warmup_steps=20,
    clip=20.0,
    style_size=320,
    generator=JohnsonConfig(norm="instance", upsampling="nearest", width=0.5, residual_blocks=4),
    data=DataConfig("photographs", size=128, batch_size=4, zoom=(1.0, 1.6)),
)


@dataclasses.dataclass(frozen=True)
class Arguments(TrainArguments):
    """Command-line arguments: the models to train and the folder for their stores."""

    names: tuple[str, ...] = tuple(MODELS)
    """Names of the models to train."""
    to: Path = Path("ckpts")
    """Folder for the stores."""


def config_of(model: Model, photographs: Path, steps: int | None) -> TrainConfig:
    """Return the settings of a training."""
    objective = dataclasses.replace(CONFIG.objective, style_weight=model.style_weight, tv_weight=1.0)
    data = dataclasses.replace(CONFIG.data, source=str(photographs))
    return dataclasses.replace(CONFIG, objective=objective, data=data, steps=steps or CONFIG.steps)


def painting_of(lab: TrainLab, model: Model) -> np.ndarray:
    """Load or generate the style image of a model."""
    if isinstance(model.painting, str):
        return lab.picture("style", model.painting)
    manner, seed = model.painting
    return np.asarray(paint(manner, seed=seed))


def record_of(lab: TrainLab, name: str, model: Model, config: TrainConfig) -> dict[str, Any]:
    """Return the record that is stored with a model. It has no facts about the machine."""
    training = config.for_backbone(lab.backbone).to_json()
    training["data"]["source"] = "photographs"  # not the path on this machine
    return {
        "style": {"name": name, "about": model.about},
        "steps": config.steps,
        "training": training,
        "weights": lab.backbone.describe(),
        "final_loss": lab.results[name]["final_loss"],
    }


def main(arguments: Arguments) -> None:
    """Train the generators, save them, and make a sheet of their results."""
    keep_programs()  # most training runs share one compiled program
    lab = TrainLab(arguments, FOLDER)
    lab.refuse_figures()
    photos = [fit(lab.picture("content", name), SHOWN) for name in lab.names("content")]
    rows: list[list[Cell]] = [[(None, ""), *((photo, "") for photo in photos)]]
    for name in arguments.names:
        model = MODELS[name]
        style = painting_of(lab, model)
        config = config_of(model, arguments.photographs, arguments.steps)
        generator = lab.train(name, config, style).generator
        if generator is None:
            raise SystemExit(f"{name}: {lab.results[name]['failure']}")
        record = record_of(lab, name, model, config)
        save_generator(arguments.to / name, generator.config, generator.variables, record, np.float16)
        shipped = load_generator(arguments.to / name)
        rows.append([(fit(style, SHOWN), name), *((stylize(shipped, photo), "") for photo in photos)])
        size = sum(path.stat().st_size for path in (arguments.to / name).rglob("*") if path.is_file())
        lab.note(f"{name}: bytes on disk", size)
    contact_sheet(lab.out / "models.jpg", rows, cell=2.6)
    lab.finish()


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
