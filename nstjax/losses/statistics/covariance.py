"""The covariance of the activations (the centered Gram matrix), with their mean."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from jax import lax

from nstjax.losses.statistics.base import Description, Means


@dataclasses.dataclass(frozen=True)
class Covariance(Means):
    """The covariance ``(n, k, c, c)`` and the mean ``(n, k, c)`` of the activations.

    The Gram matrix is ``covariance + mean mean'``. After a ReLU, the larger part of it comes from the mean.
    Comparing the two separately gives colors and contrasts terms of their own.
    """

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 4.0}
    averages: ClassVar[tuple[str, ...]] = ("mean", "gram")
    about_mean: ClassVar[bool] = True

    def describe(self, averages: Description) -> Description:
        """Compute the covariance from the Gram matrix about the value of the mean."""
        mean = averages["mean"]
        rest = mean - lax.stop_gradient(mean)  # 0, but with the derivatives of the mean
        return {"mean": mean, "covariance": averages["gram"] - rest[..., :, None] * rest[..., None, :]}
