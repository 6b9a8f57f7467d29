"""Mean and standard deviation of each channel, as in batch normalization (Li et al. 2017, section 4.2)."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from jax import lax

from nstjax.losses.statistics.base import Description, Means

VARIANCE_FLOOR = 1e-5  # added as in batch normalization: the derivative of the root is infinite at 0


@dataclasses.dataclass(frozen=True)
class Moments(Means):
    """The mean ``mean`` and the standard deviation ``std`` of each channel, ``(n, k, c)``."""

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 21.0, "absolute": 8.0}
    averages: ClassVar[tuple[str, ...]] = ("mean", "square")
    about_mean: ClassVar[bool] = True

    def describe(self, averages: Description) -> Description:
        """Compute the standard deviation from the mean square about the value of the mean."""
        mean = averages["mean"]
        rest = mean - lax.stop_gradient(mean)  # 0, but with the derivatives of the mean
        variance = jnp.maximum(averages["square"] - jnp.square(rest), 0.0)
        return {"mean": mean, "std": jnp.sqrt(variance + VARIANCE_FLOOR)}
