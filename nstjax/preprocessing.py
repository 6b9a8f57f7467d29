"""The preprocessing with which a feature network was trained."""

import dataclasses
from typing import Literal, TypeAlias

ChannelOrder: TypeAlias = Literal["RGB", "BGR"]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The map from an image to a network's input: ``(order(image)·scale − mean) / std``.

    Attributes:
        order: channel order of the network's input.
        scale: factor on image values in [0, 1]; 255 for networks trained on 8-bit values.
        mean: subtracted after scaling; one value per channel, in ``order``.
        std: divisor, applied last; one value per channel, in ``order``.
    """

    order: ChannelOrder
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
