"""The report's settings, its trainings, and a sky at night."""

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
SIDE, STEPS = 128, 1000
REPORTED_STEPS = 300  # enough to see what the report's rate does
TEXTURE_STEPS = 300
FULL_SIDE, FULL_STEPS = TRAIN_PRESETS["duke"].data.size, EPOCHS * PHOTOGRAPHS
# What works in few steps: a tenth of the report's rate, and the paper's factor (Ulyanov et al. 2016, section 4.1:
# 0.1, by 0.7 after half of 2000 iterations and then every tenth) after every tenth from the beginning.
RATE, DECAY = 0.01, 0.7
STARRY = "starry_night"


@dataclasses.dataclass(frozen=True)
class Size:
    """How large everything is."""

    side: int
    steps: int
    reported_steps: int
    """At the report's learning rate."""
    texture_steps: int


def config(
    backbone: Backbone,
    size: Size,
    photographs: str,
    norm: NormKind = "batch",
    reported: bool = True,
) -> TrainConfig:
    """The report's settings; with the layers of the default objective where the weights lack the report's.

    Args:
        backbone: the weights.
        size: of this run.
        photographs: the folder.
        norm: the report's is ``"batch"``.
        reported: 0.1 throughout; otherwise what works in few steps.
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
    """The lab with the report's photographs and trainings."""

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
        """A photograph to paint, of the size of training."""
        return square(self.picture("content", name), self.size.side)

    def painting(self, name: str) -> np.ndarray:
        """A painting; ``night_sky`` is drawn where the folder has none."""
        if name == "night_sky" and name not in self.names("style"):
            return night_sky(self.size.side)
        return square(self.picture("style", name), self.size.side)

    def trained(
        self, name: str, style: np.ndarray | None = None, norm: NormKind = "instance", reported: bool = False
    ) -> Trained:
        """A training on the 18 photographs, at the report's rate or at what works in few steps.

        With instance normalisation unless told otherwise: at batches of one the report's batch normalisation is the
        same in training, and when painting its running statistics are what spoils the pictures.
        """
        style = self.painting(name) if style is None else style
        label = f"{name}_{norm}" + ("_reported" if reported else "")
        return self.train(label, config(self.backbone, self.size, self.source, norm, reported), style)

    def caption(self, trained: Trained) -> str:
        """For the title of a figure."""
        return caption_of(trained.config, self)


def night_sky(side: int, seed: int = 0) -> np.ndarray:
    """A dark blue sky with stars, standing for the report's photograph of one, ``(1, side, side, 3)``."""
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
    """The generator's picture; grey where a training left none."""
    if trained.generator is None:
        return np.full_like(image, 0.5)
    return stylize(trained.generator, image, noise_scale=noise, seed=seed)
