"""Gram matrices: the mean outer product of activations (Gatys et al. 2016).

The loss equals the MMD with the kernel ``(x'y)²``.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from nstjax.losses.gram import STYLE_LOSSES, style_loss
from nstjax.losses.statistics.base import Description, Means
from nstjax.typing import Scalar


@dataclasses.dataclass(frozen=True)
class Gram(Means):
    """The Gram matrix ``gram`` ``(n, k, c, c)`` and the number of positions ``positions`` ``(n, k)``."""

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 8.0, "absolute": 5.0}
    normalizations: ClassVar[tuple[str, ...]] = STYLE_LOSSES
    counts_positions: ClassVar[bool] = True

    def loss(self, found: Description, target: Description, normalization: str, kind: str) -> Scalar:
        """Compute the style loss of one region, summed over the batch; see :func:`nstjax.losses.style_loss`.

        Args:
            found: statistics of the output image, ``(n, ...)``.
            target: statistics of the style image, ``(1, ...)``.
            normalization: a normalization of :func:`nstjax.losses.style_loss`.
            kind: ``squared`` or ``absolute``.
        """
        positions = found["positions"], target["positions"]
        return style_loss(found["gram"], target["gram"], normalization, kind, positions)
