"""Optimal transport between normal distributions, the style loss of style-transfer-pytorch."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from jax import lax

from nstjax.losses.statistics.base import Description, Means
from nstjax.losses.wasserstein import covariance_root, wasserstein2
from nstjax.typing import Scalar


@dataclasses.dataclass(frozen=True)
class Wasserstein(Means):
    """Description: ``mean`` ``(n, k, c)`` and ``covariance`` ``(n, k, c, c)``."""

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 6.5}
    averages: ClassVar[tuple[str, ...]] = ("mean", "gram")
    about_mean: ClassVar[bool] = True

    def describe(self, averages: Description) -> Description:
        """The covariance from the Gram matrix about the mean's value."""
        mean = averages["mean"]
        rest = mean - lax.stop_gradient(mean)  # 0, with the mean's derivatives
        return {"mean": mean, "covariance": averages["gram"] - rest[..., :, None] * rest[..., None, :]}

    def target(self, description: Description) -> Description:
        """The root of the covariance, its trace, and the mean."""
        covariance = description["covariance"]
        return {
            "mean": description["mean"],
            "root": covariance_root(covariance),
            "trace": jnp.trace(covariance, axis1=1, axis2=2),
        }

    def compare(self, found: Description, target: Description, kind: str) -> tuple[Scalar, Scalar]:
        """The squared distance; the size is the style's second moment."""
        loss = wasserstein2(found["mean"], found["covariance"], target["mean"], target["root"]).sum()
        return loss, jnp.square(target["mean"]).sum() + target["trace"].sum()
