"""The sizes, the objective of all methods, and the trainings and descents that are kept."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

import nstjax
from experiments.common import fit
from experiments.realtime.measures import Descent, descend
from experiments.trained import TrainArguments, Trained, TrainLab
from nstjax import TransferConfig
from nstjax.generators import GeneratorConfig, JohnsonConfig, UlyanovConfig
from nstjax.losses import Objective
from nstjax.optim import Lbfgs
from nstjax.training import TRAIN_PRESETS, TrainConfig

KEPT_APART = 2  # photographs of the folder that no training sees, beside those of content/
SIDE = 256  # of the pictures that are judged
ITERATIONS = 200
ONWARD = 60  # iterations from a generator's picture
MARKS = (1, 2, 5, 10, 20, 50, 100, 200)
# For all methods. Less style than single pictures have by default (180), with which a generator paints the colours
# and textures of the painting and has found nothing of the photograph after some hundred steps.
OBJECTIVE = Objective(style_weight=12.0, tv_weight=0.3)
FROM_GENERATOR = 20  # iterations shown


@dataclasses.dataclass(frozen=True)
class Size:
    """How the generators are trained.

    Attributes:
        crop: side of the crops, pixels.
        steps: of each training.
        batch: photographs a step, by generator.
        generators: the networks.
        rates: Adam's, falling by a cosine.
    """

    crop: int
    steps: int
    batch: dict[str, int]
    generators: dict[str, GeneratorConfig]
    rates: dict[str, float]


SMALL = Size(
    128,
    1000,
    {"johnson": 2, "ulyanov": 2},
    {
        "johnson": JohnsonConfig(width=0.5, upsampling="nearest", residual_blocks=4),
        "ulyanov": UlyanovConfig(norm="instance", padding="reflect"),
    },
    {"johnson": 3e-3, "ulyanov": 1e-2},
)
FULL = Size(
    256,
    40_000,
    {"johnson": 4, "ulyanov": 4},
    {
        "johnson": JohnsonConfig(width=0.5),
        "ulyanov": UlyanovConfig(norm="instance", padding="reflect"),
    },
    {"johnson": 1e-3, "ulyanov": 1e-3},
)


def per_image(iterations: int | None = None) -> TransferConfig:
    """The optimisation: ``nstjax.transfer`` at one scale, from the photograph."""
    optimizer = Lbfgs(iterations=iterations or ITERATIONS)
    return TransferConfig(objective=OBJECTIVE, optimizer=optimizer, size=SIDE, scales=(SIDE,), init="content")


def training(kind: str, size: Size, photographs: str) -> TrainConfig:
    """A training that minimises the same objective on average over the photographs."""
    judged = per_image()
    base = TRAIN_PRESETS["quick"]
    return dataclasses.replace(
        base,
        steps=size.steps,
        learning_rate=size.rates[kind],
        generator=size.generators[kind],
        objective=OBJECTIVE,
        clip=1.0,
        warmup_steps=0,
        pooling=judged.pooling,
        style_size=SIDE,
        data=dataclasses.replace(
            base.data, source=photographs, size=size.crop, batch_size=size.batch[kind], zoom=(1.0, 1.5)
        ),
    )


class Race(TrainLab):
    """The lab with its trainings and descents."""

    def __init__(self, arguments: TrainArguments) -> None:
        super().__init__(arguments, Path(__file__).parent)
        size = FULL if arguments.full else SMALL
        self.size = dataclasses.replace(size, steps=arguments.steps or size.steps)
        chosen, apart = self.choose_photographs(2**31, KEPT_APART)
        self.source = str(self.links(chosen))
        self.photos = {name: fit(self.picture("content", name), SIDE) for name in self.names("content")}
        for path in apart:
            self.photos[path.stem] = fit(nstjax.load_image(path), SIDE)

    def trained(self, kind: str, painting: str) -> Trained:
        """A generator of a painting."""
        config = training(kind, self.size, self.source)
        return self.train(f"{kind}_{painting}", config, self.picture("style", painting))

    def descent(self, label: str, photo: np.ndarray, style: np.ndarray, start: np.ndarray | None) -> Descent:
        """A descent, or what an equal one left."""
        config = per_image() if start is None else per_image(min(ONWARD, ITERATIONS))
        identity = json.dumps([config.to_json(), self.backbone.describe(), MARKS, FROM_GENERATOR])
        arrays = b"".join(a.tobytes() for a in (photo, style, start) if a is not None)
        digest = hashlib.sha256(identity.encode() + arrays).hexdigest()[:16]
        path = self._kept / f"{label}_{digest}.npz"
        if not path.exists():
            print(f"{label}: {config.optimizer.iterations} iterations", flush=True)
            marks = (*MARKS, FROM_GENERATOR)
            found = descend(config, self.backbone, photo, style, start, marks)
            pictures: dict[str, Any] = {f"picture_{i}": image for i, image in found.pictures.items()}
            np.savez_compressed(path, losses=found.losses, seconds=found.seconds, **pictures)
        with np.load(path) as kept:
            return Descent(
                tuple(map(float, kept["losses"])),
                tuple(map(float, kept["seconds"])),
                {int(k.removeprefix("picture_")): kept[k] for k in kept.files if k.startswith("picture_")},
            )
