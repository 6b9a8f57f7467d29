"""Sizes, the common objective of all methods, and cached training runs and optimizations."""

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

KEPT_APART = 2  # photographs of the folder that are held out, in addition to those of content/
SIDE = 256  # longer side of the measured images in pixels
ITERATIONS = 200
ONWARD = 60  # iterations from a generator's image
MARKS = (1, 2, 5, 10, 20, 50, 100, 200)
# For all methods. The style weight is lower than the default for single images (180): with that one, after
# some hundred steps a generator reproduces colors and textures of the painting, but nothing of the photograph.
OBJECTIVE = Objective(style_weight=12.0, tv_weight=0.3)
FROM_GENERATOR = 20  # iterations from a generator's image that the sheet shows


@dataclasses.dataclass(frozen=True)
class Size:
    """Settings of the training runs.

    Attributes:
        crop: side of the crops in pixels.
        steps: steps of each training.
        batch: batch size for each generator.
        generators: settings of the generators.
        rates: learning rate of Adam for each generator; it decays with a cosine.
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
    """Return the settings of the per-image optimization: one scale, starting from the photograph."""
    optimizer = Lbfgs(iterations=iterations or ITERATIONS)
    return TransferConfig(objective=OBJECTIVE, optimizer=optimizer, size=SIDE, scales=(SIDE,), init="content")


def training(kind: str, size: Size, photographs: str) -> TrainConfig:
    """Return the settings of a training with the same objective, averaged over the photographs."""
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
    """The lab of this experiment, with its training runs and optimizations.

    Args:
        arguments: arguments of the command line.

    Attributes:
        size: settings of the training runs.
        source: folder of the training photographs.
        photos: photographs to stylize, by name: those of content/ and the held-out ones.
    """

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
        """Train a generator for a painting, or load the cached one.

        Args:
            kind: ``"johnson"`` or ``"ulyanov"``.
            painting: name of the style image.
        """
        config = training(kind, self.size, self.source)
        return self.train(f"{kind}_{painting}", config, self.picture("style", painting))

    def descent(self, label: str, photo: np.ndarray, style: np.ndarray, start: np.ndarray | None) -> Descent:
        """Run an optimization, or load the cached result of an equal one; see :func:`descend`."""
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
