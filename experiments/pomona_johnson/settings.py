"""The networks of chapters 3 to 5: what each differs in from the thesis's last one, and their training."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from experiments.trained import TrainArguments, TrainLab
from nstjax.data import DataConfig
from nstjax.generators import JohnsonConfig
from nstjax.generators.store import Generator
from nstjax.inference import stylize
from nstjax.losses import Objective
from nstjax.training import TRAIN_PRESETS, TrainConfig
from nstjax.training.loop import scaled_style

PRESET = TRAIN_PRESETS["pomona"]
RATIO, TV = 500, 1 / 1000  # what the thesis selects (Fig. 5.6 and 5.5), and the preset's weights stand for
STYLE_UNIT = {
    "squared": 3.0,
    "absolute": PRESET.objective.beta,
}  # the weight that stands for the ratio of 500
TV_UNIT = (
    PRESET.objective.tv_weight / TV
)  # the weight of the mean absolute variation that stands for the thesis's 1


Distance: TypeAlias = Literal["squared", "absolute"]


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is changed from training to training; the defaults, with L1, are what the thesis ends with."""

    norm: Literal["batch", "instance"] = "instance"
    upsampling: Literal["transposed", "nearest", "bilinear"] = "bilinear"
    padding: Literal["reflect", "zeros"] = "reflect"
    distance: Distance = "absolute"
    tv: float = TV
    ratio: float = RATIO


def variants(distance: Distance) -> dict[str, Variant]:
    """Every training by name; ``modified``, common to all comparisons, has the given distance."""
    base = Variant(distance=distance)
    changes: dict[str, dict[str, Any]] = {
        "modified": {},
        "batch": {"norm": "batch"},
        "l1": {"distance": "absolute"},
        "l2": {"distance": "squared"},
        "johnson": {"norm": "batch", "upsampling": "transposed", "distance": "squared"},
        "transposed": {"upsampling": "transposed"},
        "nearest": {"upsampling": "nearest"},
        "tv_1": {"tv": 1.0},
        "tv_1_10": {"tv": 1 / 10},
        "tv_1_100": {"tv": 1 / 100},
        "ratio_100": {"ratio": 100},
        "ratio_1000": {"ratio": 1000},
        "ratio_10000": {"ratio": 10000},
        "zeros": {"padding": "zeros"},
    }
    return {name: dataclasses.replace(base, **change) for name, change in changes.items()}


@dataclasses.dataclass(frozen=True)
class Scale:
    """What a machine decides."""

    width: float
    """Of the generator."""
    crop: int
    """Pixels."""
    steps: int
    learning_rate: float
    schedule: Literal["constant", "cosine"]
    clip: float | None
    style_size: int
    """Longer side of the painting."""
    side: int
    """Longer side of the photographs in the figures."""
    residual_blocks: int
    """Of the generator; the thesis has 5."""
    batch: int
    zoom: tuple[float, float]
    distance: Distance
    """Of content and style in all trainings but those of Fig. 5.3; the thesis's is L1."""


# Of the photograph nearly the whole: a crop of clear sky alone has next to no variance for instance normalisation
# to divide by, and its gradient drowns the others. L2: within some hundred steps L1 does not get far from grey.
SMALL = Scale(0.5, 128, 300, 3e-3, "cosine", 1.0, 256, 320, 3, 2, (1.0, 1.25), "squared")
assert isinstance(PRESET.generator, JohnsonConfig)
FULL = Scale(
    width=PRESET.generator.width,
    crop=PRESET.data.size,
    steps=PRESET.steps,
    learning_rate=PRESET.learning_rate,
    schedule="constant",
    clip=PRESET.clip,
    style_size=PRESET.style_size,
    side=768,
    residual_blocks=PRESET.generator.residual_blocks,
    batch=PRESET.data.batch_size,
    zoom=PRESET.data.zoom,
    distance=PRESET.objective.style_distance,
)


def objective(variant: Variant) -> Objective:
    """The loss of a variant, in a normalisation of our own: the thesis does not give its own.

    Relative losses: the distance of activations over the size of the photograph's, that of Gram matrices
    over the size of the painting's. The weights keep the thesis's factors among each other: its ratio of 500
    stands for a weight of :data:`STYLE_UNIT` on the style, its variation of 1 for one of :data:`TV_UNIT` on the mean
    absolute difference of neighbouring pixels.
    """
    beta = STYLE_UNIT[variant.distance] * variant.ratio / RATIO
    return dataclasses.replace(
        PRESET.objective,
        style_weight=beta,
        tv_weight=TV_UNIT * variant.tv,
        content_distance=variant.distance,
        style_distance=variant.distance,
    )


def train_config(variant: Variant, scale: Scale, photographs: str) -> TrainConfig:
    """The training of a variant."""
    return TrainConfig(
        steps=scale.steps,
        learning_rate=scale.learning_rate,
        schedule=scale.schedule,
        clip=scale.clip,
        style_size=scale.style_size,
        generator=JohnsonConfig(
            norm=variant.norm,
            upsampling=variant.upsampling,
            padding=variant.padding,
            width=scale.width,
            residual_blocks=scale.residual_blocks,
        ),
        objective=objective(variant),
        data=DataConfig(photographs, size=scale.crop, batch_size=scale.batch, zoom=scale.zoom),
    )


class Studio:
    """Trains each network once, and paints with it.

    Args:
        arguments: of the command line.
        folder: the experiment's own.
        photo: name of the photograph in the figures.
        painting: name of the painting.
    """

    def __init__(self, arguments: TrainArguments, folder: Path, photo: str, painting: str) -> None:
        scale = FULL if arguments.full else SMALL
        self.scale = dataclasses.replace(scale, steps=arguments.steps or scale.steps)
        self.variants = variants(self.scale.distance)
        self.lab = TrainLab(arguments, folder)
        self.photographs = str(arguments.photographs)
        self.photo = self.lab.picture("content", photo)
        self.original = self.lab.picture("style", painting)
        self._models: dict[str, Generator] = {}

    def config(self, name: str) -> TrainConfig:
        """The training of one of :attr:`variants`."""
        return train_config(self.variants[name], self.scale, self.photographs)

    @property
    def painting(self) -> np.ndarray:
        """At the size at which it is trained."""
        return scaled_style(self.config("modified"), self.original)

    def model(self, name: str) -> Generator:
        """The network of one of :attr:`variants`: kept, gone on with where it was killed, or trained."""
        variant = self.variants[name]
        name = next(first for first, other in self.variants.items() if other == variant)  # none twice
        if name not in self._models:
            trained = self.lab.train(name, self.config(name), self.original)
            if trained.generator is None:
                raise RuntimeError(f"{name} came to nothing: {trained.failure}")
            self.lab.results[name]["differs_in"] = _differences(variant, self.variants["modified"])
            self._models[name] = trained.generator
        return self._models[name]

    def paint(self, name: str, photo: np.ndarray) -> np.ndarray:
        """A photograph by one of the networks, in one piece."""
        return stylize(self.model(name), photo, tile=0)

    def lost(self, image: np.ndarray, photo: np.ndarray, like: str = "modified") -> tuple[float, float]:
        """Relative losses of content and of style, unweighted, by the distance of one of :attr:`variants`."""
        found = self.lab.losses_of(self.config(like), self.original, image, photo)
        return found["content"], found["style"]

    def about(self) -> str:
        """What the figures were made with, for their titles."""
        s = self.scale
        source = f"{self.lab.backbone.arch}, {self.lab.backbone.source}"
        return f"width {s.width:g}, crops of {s.crop}, {s.steps} steps of {s.batch}\n{source}"


def _differences(variant: Variant, other: Variant) -> dict[str, Any]:
    plain = dataclasses.asdict(other)
    return {k: v for k, v in dataclasses.asdict(variant).items() if v != plain[k]}
