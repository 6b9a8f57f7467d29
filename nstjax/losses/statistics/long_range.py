"""Long-range Gram matrices (Berger and Memisevic 2017, arXiv 1606.01286): of activations and their shifted copies."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp

from nstjax.losses.statistics.base import Means
from nstjax.typing import FeatureMap


@dataclasses.dataclass(frozen=True)
class LongRange(Means):
    """Gram matrices of ``f(p)``, of ``f(p) + f(p + δ)`` along rows, and of the same along columns.

    The paper has the product of ``f(p)`` and ``f(p + δ)``. Here it is in the Gram matrix of their sum, which is
    ``E[ff'] + E[gg'] + E[fg'] + E[gf']``: its symmetric part, by one product that has a fast gradient.

    Attributes:
        shift: δ in positions of the layer, at most half of its side.
    """

    shift: int = 8

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 10.0}
    local: ClassVar[bool] = False

    def maps(self, features: FeatureMap) -> tuple[FeatureMap, ...]:
        """The activations, and their sums with copies that are shifted around the border."""
        shifted = [
            features + jnp.roll(features, -min(self.shift, features.shape[axis] // 2), axis)
            for axis in (1, 2)
        ]
        return (features, *shifted)
