"""Gram matrices of activations and shifted copies (Berger and Memisevic 2017, arXiv 1606.01286)."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp

from nstjax.losses.statistics.base import Means
from nstjax.typing import FeatureMap


@dataclasses.dataclass(frozen=True)
class LongRange(Means):
    """Gram matrices of the activations ``f(p)`` and of the sums ``f(p) + f(p + δ)``.

    There are two such sums, with ``δ`` along the height and along the width. The paper uses the product of
    ``f(p)`` and ``g = f(p + δ)``. Here it is part of the Gram matrix of their sum,
    ``E[ff'] + E[gg'] + E[fg'] + E[gf']``, which contains its symmetric part. One product with a fast gradient
    computes it.

    Attributes:
        shift: δ in positions of the layer; at most half of its side is used.
    """

    shift: int = 8

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 10.0}
    local: ClassVar[bool] = False

    def maps(self, features: FeatureMap) -> tuple[FeatureMap, ...]:
        """Return the activations, and their sums with copies shifted cyclically along height and width."""
        shifted = [
            features + jnp.roll(features, -min(self.shift, features.shape[axis] // 2), axis)
            for axis in (1, 2)
        ]
        return (features, *shifted)
