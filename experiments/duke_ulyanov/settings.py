"""The report's settings, its training runs, and a substitute for its photograph of a night sky."""

import dataclasses
from pathlib import Path

import numpy as np
from scipy import ndimage

from experiments.common import square
from experiments.trained import TrainArguments, Trained, TrainLab, caption_of
from nstjax.generators import UlyanovConfig
from nstjax.generators.plan import NormKind
from nstjax.inference import stylize
from nstjax.training import TRAIN_PRESETS, TrainConfig
from nstjax.typing import Backbone

PHOTOGRAPHS = 18  # section 3
EPOCHS = 600  # appendix C
SCALES, TEXTURE_SCALES = 6, 5  # section 2.4; Fig. 7
SIDE, STEPS = 256, 1000
REPORTED_STEPS = 300  # enough to see the effect of the report's learning rate
TEXTURE_STEPS = 300
FULL_SIDE, FULL_STEPS = TRAIN_PRESETS["duke"].data.size, EPOCHS * PHOTOGRAPHS
# A schedule that works in few steps: a tenth of the report's learning rate, times 0.7 after every tenth
# of the steps. The factor is the paper's (Ulyanov et al. 2016, section 4.1: 0.1, times 0.7 after half of 2000
# iterations and then after every tenth).
RATE, DECAY = 0.01, 0.7
STARRY = "starry_night"


@dataclasses.dataclass(frozen=True)
class Size:
    """Image size and step counts of the experiment.

    Attributes:
        side: side of the images in pixels.
        steps: steps of a training.
        reported_steps: steps of a training at the report's learning rate.
        texture_steps: steps of the texture generator.
    """

    side: int
    steps: int
    reported_steps: int
    texture_steps: int


def config(
    backbone: Backbone,
    size: Size,
    photographs: str,
    norm: NormKind = "batch",
    reported: bool = True,
) -> TrainConfig:
    """Return the report's settings.

    If the weights lack the report's layers, those of the default objective are used.

    Args:
        backbone: the feature network.
        size: sizes and step counts.
        photographs: folder of the training photographs.
        norm: kind of normalization; the report has ``"batch"``.
        reported: whether the learning rate is the report's constant 0.1; otherwise a schedule that works in
            few steps.
    """
    base = TRAIN_PRESETS["duke"]
    objective = base.objective
    if not set(objective.layers) <= set(backbone.layers):
        objective = dataclasses.replace(objective, content_layers=(), style_layers=())
    return dataclasses.replace(
        base,
        steps=size.reported_steps if reported else size.steps,
        learning_rate=base.learning_rate if reported else RATE,
        schedule="constant" if reported else "exponential",
        decay_rate=DECAY,
        decay_steps=max(1, size.steps // 10),
        style_size=size.side,
        generator=UlyanovConfig(norm=norm, scales=SCALES),
        objective=objective,
        data=dataclasses.replace(base.data, source=photographs, size=size.side),
    )


class Duke(TrainLab):
    """The lab of this experiment, with the report's photographs and training runs.

    Args:
        arguments: arguments of the command line.

    Attributes:
        size: sizes and step counts.
        source: folder of the training photographs, resized to squares.
    """

    def __init__(self, arguments: TrainArguments) -> None:
        super().__init__(arguments, Path(__file__).parent)
        size = Size(SIDE, STEPS, REPORTED_STEPS, TEXTURE_STEPS)
        if arguments.full:
            size = Size(FULL_SIDE, FULL_STEPS, FULL_STEPS, FULL_STEPS)
        steps = arguments.steps
        if steps is not None:
            size = Size(size.side, steps, min(steps, size.reported_steps), min(steps, size.texture_steps))
        self.size = size
        self.source = str(self.squares(PHOTOGRAPHS, self.size.side))

    def photo(self, name: str) -> np.ndarray:
        """Load a photograph to stylize, at the size of the training images."""
        return square(self.picture("content", name), self.size.side)

    def painting(self, name: str) -> np.ndarray:
        """Load a style image. If the folder has no ``night_sky``, it is generated."""
        if name == "night_sky" and name not in self.names("style"):
            return night_sky(self.size.side)
        return square(self.picture("style", name), self.size.side)

    def trained(
        self, name: str, style: np.ndarray | None = None, norm: NormKind = "instance", reported: bool = False
    ) -> Trained:
        """Train a generator on the 18 photographs, or load the cached one.

        The default is instance normalization. With batch size 1, batch normalization is the same during
        training, but its running statistics, which are used afterwards, spoil the images.

        Args:
            name: name of the style image, and label of the run.
            style: the style image; by default the one of that name.
            norm: kind of normalization.
            reported: as for :func:`config`.
        """
        style = self.painting(name) if style is None else style
        label = f"{name}_{norm}" + ("_reported" if reported else "")
        return self.train(label, config(self.backbone, self.size, self.source, norm, reported), style)

    def caption(self, trained: Trained) -> str:
        """Return a text for the title of a figure."""
        return caption_of(trained.config, self)


def night_sky(side: int, seed: int = 0) -> np.ndarray:
    """Return a dark blue sky with stars, ``(1, side, side, 3)``.

    It replaces the report's photograph of a night sky.
    """
    rng = np.random.default_rng(seed)
    height = np.linspace(0, 1, side)[:, None, None]
    cloud = ndimage.gaussian_filter(rng.normal(size=(side, side)), side / 12, mode="wrap")
    cloud = (cloud - cloud.min()) / np.ptp(cloud)
    base = np.array([0.02, 0.04, 0.11]) + (0.5 * height + 0.5 * cloud[..., None]) * [0.06, 0.09, 0.17]
    stars = np.zeros((side, side))
    places = rng.integers(0, side, (side * side // 90, 2))
    np.maximum.at(stars, (places[:, 0], places[:, 1]), rng.exponential(0.25, len(places)))
    stars = ndimage.gaussian_filter(stars, side / 300) * 2
    sky = base + stars[..., None] * [0.95, 0.97, 1.0]
    return sky[None].clip(0, 1).astype(np.float32)


def painted(trained: Trained, image: np.ndarray, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    """Stylize an image; return a gray image if the training left no generator."""
    if trained.generator is None:
        return np.full_like(image, 0.5)
    return stylize(trained.generator, image, noise_scale=noise, seed=seed)
