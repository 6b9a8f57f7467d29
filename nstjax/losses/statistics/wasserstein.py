"""The Wasserstein distance of normal distributions, the style loss of style-transfer-pytorch."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp

from nstjax.losses.statistics.base import Description
from nstjax.losses.statistics.covariance import Covariance
from nstjax.losses.wasserstein import covariance_root, wasserstein2
from nstjax.typing import Scalar


@dataclasses.dataclass(frozen=True)
class Wasserstein(Covariance):
    """The squared 2-Wasserstein distance between normal distributions.

    They are described by ``mean`` ``(n, k, c)`` and ``covariance`` ``(n, k, c, c)``.
    """

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 6.5}

    def target(self, description: Description) -> Description:
        """Return the mean, the square root of the covariance, and its trace."""
        covariance = description["covariance"]
        return {
            "mean": description["mean"],
            "root": covariance_root(covariance),
            "trace": jnp.trace(covariance, axis1=1, axis2=2),
        }

    def compare(self, found: Description, target: Description, kind: str) -> tuple[Scalar, Scalar]:
        """Compute the loss, summed over the batch, and the size of the target; see :meth:`Means.compare`.

        The loss is the squared distance. The size is the style's second moment, the mean square norm of its
        activations. ``kind`` is not used.
        """
        loss = wasserstein2(found["mean"], found["covariance"], target["mean"], target["root"]).sum()
        return loss, jnp.square(target["mean"]).sum() + target["trace"].sum()
