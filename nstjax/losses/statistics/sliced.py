"""Sliced Wasserstein distance (Heitz et al., CVPR 2021, arXiv 2006.07229): sorted projections."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nstjax.losses.statistics.base import Description, Points, Statistic
from nstjax.typing import FeatureMap, Scalar

if TYPE_CHECKING:
    from nstjax.losses.record import Objective


@dataclasses.dataclass(frozen=True)
class Sliced(Points):
    """The mean squared difference between quantiles along random directions.

    The paper projects all positions on as many directions as there are channels. Here the positions are
    distributed among the directions at random, each position ``repeats`` times. For each position, an
    evaluation computes ``repeats`` dot products and sorts as many values, and every position counts.

    Attributes:
        directions: number of random unit vectors.
        repeats: number of directions on which each position is projected; 0 for all of them, as in the paper
            (slow).
        quantiles: number of quantiles that are kept of the style image for each direction.
    """

    directions: int = 64
    repeats: int = 4
    quantiles: int = 1024

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 45.0}

    @classmethod
    def from_record(cls, record: "Objective") -> Statistic:
        """Return the statistic with default settings; with ``repeats`` 0 if ``kernel_samples`` is 0."""
        return cls(repeats=0) if record.kernel_samples == 0 else cls()

    def plan(self, shape: tuple[int, int], mask: np.ndarray | None, layer: str) -> Array:
        """Return the positions to project on each direction, ``(directions, s)`` indices.

        Positions where the mask is greater than 0 all count equally.

        Args:
            shape: rows and columns of the layer.
            mask: mask of the region, ``(h, w)``, or None for all positions.
            layer: name of the layer, from which the random seed is made.
        """
        inside = np.arange(shape[0] * shape[1]) if mask is None else np.flatnonzero(mask.ravel())
        if not self.repeats:
            return jnp.asarray(np.broadcast_to(inside, (self.directions, len(inside))))
        rng = np.random.default_rng(zlib.crc32(layer.encode()))
        order = np.concatenate([rng.permutation(inside) for _ in range(self.repeats)])
        size = -(-len(order) // self.directions)
        return jnp.asarray(np.resize(order, (self.directions, size)))

    def target(self, features: FeatureMap, mask: Array | None) -> Description:
        """Return the quantiles of the style image's projections, and the directions.

        Args:
            features: activations, ``(1, h, w, c)``.
            mask: ``(1, h, w)``, or None for all positions.

        Returns:
            ``quantiles`` ``(directions, q)`` and ``axes`` ``(directions, c)``.
        """
        c = features.shape[-1]
        points = features.reshape(-1, c)
        shares = np.ones(len(points)) if mask is None else np.asarray(mask, np.float64).ravel()
        drawn = np.random.default_rng(c).normal(size=(self.directions, c))
        axes = jnp.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), features.dtype)
        projected = jnp.matmul(axes, points.T, precision=lax.Precision.HIGHEST)
        return {"axes": axes, "quantiles": _weighted_quantiles(projected, shares, self.quantiles)}

    def compare(
        self, features: FeatureMap, mask: Array | None, plan: Array | None, target: Description
    ) -> tuple[Scalar, Scalar]:
        """Compute the loss, summed over the batch, and the size of the target; see :meth:`Points.compare`.

        The loss is the mean squared difference of the quantiles. The size is the mean square of the style's
        quantiles.
        """
        assert plan is not None
        n, _, _, c = features.shape
        at = (jnp.arange(plan.shape[1], dtype=features.dtype) + 0.5) / plan.shape[1] * self.quantiles - 0.5
        wanted = jax.vmap(lambda q: jnp.interp(at, jnp.arange(self.quantiles, dtype=at.dtype), q))(
            target["quantiles"]
        )
        total = jnp.zeros((), features.dtype)
        for f in features.reshape(n, -1, c):
            projected = jnp.einsum("dsc,dc->ds", f[plan], target["axes"], precision=lax.Precision.HIGHEST)
            total += jnp.square(jnp.sort(projected, 1) - wanted).mean()
        return total, jnp.square(target["quantiles"]).mean()


def _weighted_quantiles(values: Array, shares: np.ndarray, count: int) -> Array:
    """Return the values at the fractions ``(i + ½)/count`` of the total weight.

    Args:
        values: ``(d, p)``.
        shares: weight of each value, ``(p,)``.
        count: number of quantiles.

    Returns:
        ``(d, count)``.
    """
    order = jnp.argsort(values, 1)
    ordered = jnp.take_along_axis(values, order, 1)
    weights = jnp.asarray(shares / shares.sum(), values.dtype)[order]
    centres = jnp.cumsum(weights, 1) - weights / 2
    at = (jnp.arange(count, dtype=values.dtype) + 0.5) / count
    return jax.vmap(lambda x, y: jnp.interp(at, x, y))(centres, ordered)
