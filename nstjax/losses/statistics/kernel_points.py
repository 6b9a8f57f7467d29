"""Style losses for kernels without a finite feature map, by pairs of positions."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nstjax.losses.mmd import kernel_matrix, kernel_mean, median_bandwidth
from nstjax.losses.statistics.base import Description, Points
from nstjax.typing import FeatureMap, Scalar

_SEED = 0  # of which positions are compared: fixed, so that the loss is one function throughout a run


@dataclasses.dataclass(frozen=True)
class KernelPoints(Points):
    """The squared maximum mean discrepancy of a region's positions and a style's points.

    Positions are compared in blocks of ``samples``, each with all of the style's points: time and memory grow with the
    number of positions, not its square. With ``samples`` 0 the value is exact. A block's and the style's samples add about
    ``(1 − mean kernel)/samples`` each to the exact value.

    Attributes:
        kernel: ``"gaussian"`` or ``"polynomial"``; see :func:`nstjax.losses.mmd.kernel_matrix`.
        degree: of the polynomial.
        offset: of the polynomial.
        bandwidth: of the Gaussian, in units of the median distance of the style's activations; None is 1.
        samples: positions compared at a time; 0 for all.
    """

    kernel: str = "gaussian"
    degree: int = 2
    offset: float = 0.0
    bandwidth: float | None = None
    samples: int = 512

    def plan(self, shape: tuple[int, int], mask: np.ndarray | None, layer: str) -> Array:
        """Blocks of positions that are compared among themselves, ``(b, s)`` indices, each position in at least one.

        The last block is filled up with positions of the first, which so count twice.
        """
        rng = np.random.default_rng(_SEED)
        inside = np.arange(shape[0] * shape[1]) if mask is None else np.flatnonzero(mask.ravel())
        order = rng.permutation(inside)
        size = min(self.samples or len(order), len(order))
        blocks = -(-len(order) // size)
        return jnp.asarray(np.resize(order, (blocks, size)))

    def target(self, features: FeatureMap, mask: Array | None) -> Description:
        """Points of the style image, in units in which the kernel's parameters mean the same at every layer.

        For ``gaussian`` they are less their mean, over the width; for ``polynomial`` over their root mean square norm.

        Returns:
            ``points`` ``(s, c)``, ``shares`` ``(s,)``, ``centre`` ``(c,)``, ``scale`` ``()``, and ``self``, the mean of
            the kernel over pairs of them.
        """
        points = features.reshape(-1, features.shape[-1])
        shares = np.ones(len(points)) if mask is None else np.asarray(mask, np.float64).ravel()
        shares = shares / shares.sum()
        inside = int((shares > 0).sum())
        if self.samples and self.samples < inside:
            drawn = np.random.default_rng(_SEED).choice(len(points), self.samples, replace=False, p=shares)
            points = points[drawn]
            weights = jnp.full(self.samples, 1 / self.samples, points.dtype)
        else:
            points = points[np.flatnonzero(shares)]
            weights = jnp.asarray(shares[shares > 0], points.dtype)
        return _in_units(self, points, weights)

    def compare(
        self, features: FeatureMap, mask: Array | None, plan: Array | None, target: Description
    ) -> tuple[Scalar, Scalar]:
        """The discrepancy; the size is the style's own mean kernel, its squared norm."""
        assert plan is not None
        n, _, _, c = features.shape
        points, own, v = target["points"], target["self"], target["shares"]
        z = (features.reshape(n, -1, c) - target["centre"]) / target["scale"]
        u = jnp.ones(z.shape[1], z.dtype) if mask is None else mask.ravel().astype(z.dtype)
        how = (self.kernel, self.degree, self.offset)

        def of_block(block: tuple[Array, Array]) -> Array:
            x, w = block
            share = w / w.sum()
            among = _mean(share, kernel_matrix(x, x, *how), share)
            return among - 2 * _mean(share, kernel_matrix(x, points, *how), v)

        def of_image(x: Array) -> Array:
            if not self.samples:
                w = u[plan[0]] / u[plan[0]].sum()
                x = x[plan[0]]
                return kernel_mean(x, x, w, w, *how) - 2 * kernel_mean(x, points, w, v, *how)
            weights = u[plan]
            parts = jax.lax.map(jax.checkpoint(of_block), (x[plan], weights))
            return jnp.vdot(parts, weights.sum(1) / weights.sum(), precision=lax.Precision.HIGHEST)

        return (jnp.stack([of_image(z[i]) for i in range(n)]) + own).sum(), own


def _mean(u: Array, matrix: Array, v: Array) -> Array:
    high = lax.Precision.HIGHEST
    return jnp.vdot(u, jnp.matmul(matrix, v, precision=high), precision=high)


@partial(jax.jit, static_argnums=0)
def _in_units(statistic: KernelPoints, points: Array, weights: Array) -> Description:
    high = lax.Precision.HIGHEST
    if statistic.kernel == "gaussian":
        centre = jnp.matmul(weights, points, precision=high)
        scale = median_bandwidth(points) * (1.0 if statistic.bandwidth is None else statistic.bandwidth)
    else:
        centre = jnp.zeros(points.shape[1], points.dtype)
        norm = jnp.sqrt(jnp.vdot(weights, jnp.square(points).sum(1), precision=high))
        scale = jnp.where(norm > 0, norm, 1.0)
    points = (points - centre) / scale
    own = kernel_mean(points, points, weights, weights, statistic.kernel, statistic.degree, statistic.offset)
    return {"points": points, "shares": weights, "centre": centre, "scale": scale, "self": own}
