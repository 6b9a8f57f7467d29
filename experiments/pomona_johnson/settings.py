"""The networks of chapters 3 to 5 as variants of the thesis's last one, and their training."""

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
RATIO, TV = 500, 1 / 1000  # the thesis's choice (Fig. 5.6 and 5.5), which the preset's weights correspond to
STYLE_UNIT = {
    "squared": 3.0,
    "absolute": PRESET.objective.beta,
}  # the style weight that corresponds to the ratio of 500
TV_UNIT = (
    PRESET.objective.tv_weight / TV
)  # the weight of the mean absolute variation that corresponds to the thesis's 1


Distance: TypeAlias = Literal["squared", "absolute"]


@dataclasses.dataclass(frozen=True)
class Variant:
    """The settings that differ between training runs. The defaults are the thesis's final ones.

    Attributes:
        norm: kind of normalization.
        upsampling: kind of upsampling.
        padding: kind of padding.
        distance: squared (L2) or absolute (L1) distance in the content and style loss.
        tv: weight of the total variation, in the thesis's units.
        ratio: ratio of style to content weight, in the thesis's units.
    """

    norm: Literal["batch", "instance"] = "instance"
    upsampling: Literal["transposed", "nearest", "bilinear"] = "bilinear"
    padding: Literal["reflect", "zeros"] = "reflect"
    distance: Distance = "absolute"
    tv: float = TV
    ratio: float = RATIO


def variants(distance: Distance) -> dict[str, Variant]:
    """Return all variants by name; the base ``modified``, common to all comparisons, has that distance."""
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
    """The settings that depend on the machine.

    Attributes:
        width: factor on the generator's numbers of filters.
        crop: side of the crops in pixels.
        steps: steps of each training.
        learning_rate: learning rate of Adam.
        schedule: schedule of the learning rate.
        clip: largest norm of the gradient, or None.
        style_size: longer side of the style image in pixels.
        side: longer side in pixels of the photographs in the figures.
        residual_blocks: number of residual blocks of the generator.
        batch: batch size.
        zoom: range of the random scale of photographs, see :class:`nstjax.data.DataConfig`.
        distance: distance of content and style losses in all training runs except those of Fig. 5.3.
    """

    width: float
    """Factor on the generator's numbers of filters."""
    crop: int
    """Side of the crops in pixels."""
    steps: int
    learning_rate: float
    schedule: Literal["constant", "cosine"]
    clip: float | None
    style_size: int
    """Longer side of the style image in pixels."""
    side: int
    """Longer side in pixels of the photographs in the figures."""
    residual_blocks: int
    """Number of residual blocks of the generator; the thesis has 5."""
    batch: int
    zoom: tuple[float, float]
    distance: Distance
    """Distance of content and style losses in all runs except those of Fig. 5.3; L1 in the thesis."""


# Crops contain nearly the whole photograph: a crop of clear sky alone has almost no variance for instance
# normalization to divide by, and its gradient dominates all others. The distance is L2, because after some
# hundred steps results with L1 are still close to gray.
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
    """Return the loss of a variant, in this project's normalization; the thesis does not give its own.

    The losses are relative: the distance of activations is divided by the size of the photograph's, that of
    Gram matrices by the size of the style image's. The weights keep the proportions of the thesis: its ratio
    of 500 corresponds to a style weight of :data:`STYLE_UNIT`, its total variation weight of 1 to a weight of
    :data:`TV_UNIT` on the mean absolute difference of neighboring pixels.
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
    """Return the settings of a variant's training.

    Args:
        variant: the variant.
        scale: the settings that depend on the machine.
        photographs: folder of the training photographs.
    """
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
    """The networks of all variants, each trained once, and the images of the figures.

    Args:
        arguments: arguments of the command line.
        folder: folder of the experiment.
        photo: name of the photograph in the figures.
        painting: name of the style image.

    Attributes:
        scale: the settings that depend on the machine.
        variants: all variants by name.
        lab: the lab.
        photographs: folder of the training photographs.
        photo: the photograph in the figures.
        original: the style image as loaded.
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
        """Return the settings of the training of one of :attr:`variants`."""
        return train_config(self.variants[name], self.scale, self.photographs)

    @property
    def painting(self) -> np.ndarray:
        """The style image at the size at which the training uses it."""
        return scaled_style(self.config("modified"), self.original)

    def model(self, name: str) -> Generator:
        """Return the network of one of :attr:`variants`: load it, resume its training, or train it.

        Raises:
            RuntimeError: the training failed before a generator was saved.
        """
        variant = self.variants[name]
        # Equal variants are trained only once, under the first name.
        name = next(first for first, other in self.variants.items() if other == variant)
        if name not in self._models:
            trained = self.lab.train(name, self.config(name), self.original)
            if trained.generator is None:
                raise RuntimeError(f"the training of {name} saved no generator: {trained.failure}")
            self.lab.results[name]["differs_in"] = _differences(variant, self.variants["modified"])
            self._models[name] = trained.generator
        return self._models[name]

    def paint(self, name: str, photo: np.ndarray) -> np.ndarray:
        """Stylize a photograph with the network of a variant, in one piece."""
        return stylize(self.model(name), photo, tile=0)

    def lost(self, image: np.ndarray, photo: np.ndarray, like: str = "modified") -> tuple[float, float]:
        """Return the unweighted relative losses of content and style of an image.

        Args:
            image: the image, ``(1, h, w, 3)``.
            photo: the photograph it was made from, of the same shape.
            like: name of the variant whose distance is used.
        """
        found = self.lab.losses_of(self.config(like), self.original, image, photo)
        return found["content"], found["style"]

    def about(self) -> str:
        """Return the settings and weights that were used, for the titles of figures."""
        s = self.scale
        source = f"{self.lab.backbone.arch}, {self.lab.backbone.source}"
        return f"width {s.width:g}, crops of {s.crop}, {s.steps} steps of {s.batch}\n{source}"


def _differences(variant: Variant, other: Variant) -> dict[str, Any]:
    plain = dataclasses.asdict(other)
    return {k: v for k, v in dataclasses.asdict(variant).items() if v != plain[k]}
