"""The preprocessing of images that a network's weights were trained with."""

import dataclasses
from typing import Literal, TypeAlias

ChannelOrder: TypeAlias = Literal["RGB", "BGR"]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The map from an image to a network's input: ``(order(image)·scale − mean) / std``.

    Attributes:
        order: channel order of the network's first kernel.
        scale: factor on values in [0, 1]; 255 for networks trained on 8-bit values.
        mean: subtracted after scaling, in ``order``.
        std: divided by last, in ``order``.
    """

    order: ChannelOrder
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
