"""Mean and standard deviation of each channel: batch-norm statistics (Li et al. 2017, section 4.2)."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from jax import lax

from nstjax.losses.statistics.base import Description, Means

VARIANCE_FLOOR = 1e-5  # as in batch normalization: the root has no slope at 0


@dataclasses.dataclass(frozen=True)
class Moments(Means):
    """Description: ``mean`` and ``std`` ``(n, k, c)``."""

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 21.0, "absolute": 8.0}
    averages: ClassVar[tuple[str, ...]] = ("mean", "square")
    about_mean: ClassVar[bool] = True

    def describe(self, averages: Description) -> Description:
        """The deviation from the mean square about the mean's value."""
        mean = averages["mean"]
        rest = mean - lax.stop_gradient(mean)  # 0, with the mean's derivatives
        variance = jnp.maximum(averages["square"] - jnp.square(rest), 0.0)
        return {"mean": mean, "std": jnp.sqrt(variance + VARIANCE_FLOOR)}
