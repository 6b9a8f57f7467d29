"""Covariance of the activations (centered Gram matrix) with their mean."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from jax import lax

from nstjax.losses.statistics.base import Description, Means


@dataclasses.dataclass(frozen=True)
class Covariance(Means):
    """Description: ``mean`` ``(n, k, c)`` and ``covariance`` ``(n, k, c, c)``.

    The Gram matrix is ``covariance + mean mean'``, where the mean of activations after a ReLU is the larger part. Taken
    apart, colors and contrasts count by themselves.
    """

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 4.0}
    averages: ClassVar[tuple[str, ...]] = ("mean", "gram")
    about_mean: ClassVar[bool] = True

    def describe(self, averages: Description) -> Description:
        """The covariance from the Gram matrix about the mean's value."""
        mean = averages["mean"]
        rest = mean - lax.stop_gradient(mean)  # 0, with the mean's derivatives
        return {"mean": mean, "covariance": averages["gram"] - rest[..., :, None] * rest[..., None, :]}
