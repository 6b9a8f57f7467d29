"""Sizes, the common objective, the one-pass methods, and cached training runs and optimizations."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nstjax
from experiments.common import EQUAL_WEIGHTS, fit
from experiments.realtime.measures import Descent, descend
from experiments.trained import TrainArguments, TrainLab
from nstjax import TransferConfig
from nstjax.arbitrary.apply import prepare_style, stylize_arbitrary
from nstjax.arbitrary.store import load_decoder
from nstjax.files import replacing
from nstjax.generators import GeneratorConfig, JohnsonConfig, UlyanovConfig, Variables
from nstjax.generators.styles import with_styles
from nstjax.inference import stylize
from nstjax.optim import Lbfgs
from nstjax.training import TRAIN_PRESETS, TrainConfig
from nstjax.training.presets import GALLERY_NETWORK

HELD_OUT = 2  # photographs of the folder that are held out, in addition to those of content/
SIDE = 256  # longer side of the measured images in pixels
ITERATIONS = 200
ONWARD = 60  # iterations from the picture of a one-pass method
MARKS = (1, 2, 5, 10, 20, 50, 100, 200)
FROM_PICTURE = 20  # iterations from the picture of the first method that the sheet shows


@dataclasses.dataclass(frozen=True)
class Size:
    """Settings of the training runs.

    Attributes:
        crop: side of the crops in pixels.
        batch: batch size.
        generators: settings of the generators.
        steps: steps of the training of each generator.
        rates: learning rate of Adam for each generator; it decays with a cosine.
        starts: name of the installed generator whose weights a training starts from; for others they are random.
    """

    crop: int
    batch: int
    generators: dict[str, GeneratorConfig]
    steps: dict[str, int]
    rates: dict[str, float]
    starts: dict[str, str] = dataclasses.field(default_factory=dict)


_ULYANOV = UlyanovConfig(norm="instance", padding="reflect")
SMALL = Size(
    128,
    4,
    {"johnson": GALLERY_NETWORK, "ulyanov": _ULYANOV},
    {"johnson": 400, "ulyanov": 2000},  # johnson: as the preset "quick"
    {"johnson": 2e-3, "ulyanov": 1e-2},
    {"johnson": "gallery"},
)
FULL = Size(
    256,
    4,
    {"johnson": JohnsonConfig(width=0.5), "ulyanov": _ULYANOV},
    {"johnson": 40_000, "ulyanov": 40_000},
    {"johnson": 1e-3, "ulyanov": 1e-3},
)


def per_image(iterations: int | None = None) -> TransferConfig:
    """Return the settings of the per-image optimization: the defaults with one scale, starting from the photograph.

    All style layers have the same weight, as for VGG-19 and in a training.
    """
    optimizer = Lbfgs(iterations=iterations or ITERATIONS)
    return TransferConfig(
        optimizer=optimizer, size=SIDE, scales=(SIDE,), init="content", objective=EQUAL_WEIGHTS
    )


def training(kind: str, size: Size, photographs: str) -> TrainConfig:
    """Return the settings of a training with the same objective, averaged over the photographs."""
    judged, base = per_image(), TRAIN_PRESETS["quick"]
    return dataclasses.replace(
        base,
        steps=size.steps[kind],
        learning_rate=size.rates[kind],
        generator=size.generators[kind],
        objective=judged.objective,
        pooling=judged.pooling,
        data=dataclasses.replace(base.data, source=photographs, size=size.crop, batch_size=size.batch),
    )


@dataclasses.dataclass(frozen=True)
class Method:
    """A method that stylizes a photograph in one pass.

    Attributes:
        paint: function that stylizes a photograph, ``(1, h, w, 3)`` in [0, 1].
        training_seconds: duration of its training here; None for methods that come with nstjax.
        training_config: settings of its training here, with named layers.
    """

    paint: Callable[[np.ndarray], np.ndarray]
    training_seconds: float | None = None
    training_config: TrainConfig | None = None


@dataclasses.dataclass(frozen=True)
class RaceArguments(TrainArguments):
    """Command-line arguments."""

    weights: str = "embedded"
    """Name of installed weights, a weights file, or the folder of a store. The default made the shown figures."""


class Race(TrainLab):
    """The lab of this experiment, with its training runs and optimizations.

    Args:
        arguments: arguments of the command line.

    Attributes:
        size: settings of the training runs.
        source: folder of the training photographs.
        photos: photographs to stylize, by name: those of content/ and the held-out ones.
    """

    def __init__(self, arguments: RaceArguments) -> None:
        super().__init__(arguments, Path(__file__).parent)
        size = FULL if arguments.full else SMALL
        steps = {kind: arguments.steps or number for kind, number in size.steps.items()}
        self.size = dataclasses.replace(size, steps=steps)
        chosen, apart = self.choose_photographs(2**31, HELD_OUT)
        self.source = str(self.links(chosen))
        self.photos = {name: fit(self.picture("content", name), SIDE) for name in self.names("content")}
        for path in apart:
            self.photos[path.stem] = fit(nstjax.load_image(path), SIDE)

    def methods(self, painting: str) -> dict[str, Method]:
        """Return the one-pass methods for a painting: two that come with nstjax, and the trained generators.

        Args:
            painting: name of the style image, which is also a style of ``gallery``.
        """
        style = self.picture("style", painting)
        decoder, embedded = load_decoder(), nstjax.load_backbone("embedded")
        prepared = prepare_style(embedded, style)
        gallery = nstjax.load_generator("gallery")
        found = {
            "any style": Method(lambda photo: stylize_arbitrary(decoder, embedded, photo, prepared)),
            "gallery": Method(partial(stylize, gallery, style=painting)),
        }
        for kind in self.size.generators:
            config = training(kind, self.size, self.source)
            one = self.train(f"{kind}_{painting}", config, style, self._start(kind))
            if (generator := one.generator) is not None:
                found[kind] = Method(partial(stylize, generator), one.seconds, one.config)
        return found

    def _start(self, kind: str) -> Variables | None:
        """Return the initial weights of a training; None for random ones."""
        name = self.size.starts.get(kind)
        return None if name is None else with_styles(nstjax.load_generator(name), 1).variables

    def descent(self, label: str, photo: np.ndarray, style: np.ndarray, start: np.ndarray | None) -> Descent:
        """Run an optimization, or load the cached result of an equal one; see :func:`descend`."""
        config = per_image() if start is None else per_image(min(ONWARD, ITERATIONS))
        identity = json.dumps([config.to_json(), self.backbone.describe(), MARKS, FROM_PICTURE])
        arrays = b"".join(a.tobytes() for a in (photo, style, start) if a is not None)
        digest = hashlib.sha256(identity.encode() + arrays).hexdigest()[:16]
        path = self._kept / f"{label}_{digest}.npz"
        if not path.exists():
            print(f"{label}: {config.optimizer.iterations} iterations", flush=True)
            marks = (*MARKS, FROM_PICTURE)
            found = descend(config, self.backbone, photo, style, start, marks)
            pictures: dict[str, Any] = {f"picture_{i}": image for i, image in found.pictures.items()}
            with replacing(path) as temporary:  # a complete file is a finished run
                np.savez_compressed(temporary, losses=found.losses, seconds=found.seconds, **pictures)
        with np.load(path) as kept:
            return Descent(
                tuple(map(float, kept["losses"])),
                tuple(map(float, kept["seconds"])),
                {int(k.removeprefix("picture_")): kept[k] for k in kept.files if k.startswith("picture_")},
            )
