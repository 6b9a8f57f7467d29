"""Style losses for kernels without a finite feature map, computed from pairs of positions."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nstjax.losses.mmd import kernel_matrix, kernel_mean, median_bandwidth
from nstjax.losses.statistics.base import Description, Points
from nstjax.typing import FeatureMap, Scalar

_SEED = 0  # selects the positions to compare; fixed, so that the loss is the same function throughout a run


@dataclasses.dataclass(frozen=True)
class KernelPoints(Points):
    """The squared MMD between the positions of a region and the points of a style.

    Positions are compared in blocks of ``samples``, each block within itself and with all points of the
    style. Time and memory then grow with the number of positions, not with its square. With ``samples`` 0 the
    value is exact. Otherwise it is biased upwards: a block and the sample of the style each add about
    ``(1 − mean kernel)/samples``.

    Attributes:
        kernel: ``"gaussian"`` or ``"polynomial"``; see :func:`nstjax.losses.mmd.kernel_matrix`.
        degree: degree of the polynomial.
        offset: offset of the polynomial.
        bandwidth: width of the Gaussian, in units of the median distance between the style's activations;
            None is 1.
        samples: number of positions to compare at a time; 0 for all.
    """

    kernel: str = "gaussian"
    degree: int = 2
    offset: float = 0.0
    bandwidth: float | None = None
    samples: int = 512

    def plan(self, shape: tuple[int, int], mask: np.ndarray | None, layer: str) -> Array:
        """Return blocks of positions to compare, ``(b, s)`` indices. Every position is in at least one block.

        The last block is filled up with positions of the first, which then count twice.

        Args:
            shape: rows and columns of the layer.
            mask: mask of the region, ``(h, w)``, or None for all positions.
            layer: not used.
        """
        rng = np.random.default_rng(_SEED)
        inside = np.arange(shape[0] * shape[1]) if mask is None else np.flatnonzero(mask.ravel())
        order = rng.permutation(inside)
        size = min(self.samples or len(order), len(order))
        blocks = -(-len(order) // size)
        return jnp.asarray(np.resize(order, (blocks, size)))

    def target(self, features: FeatureMap, mask: Array | None) -> Description:
        """Return the points of the style image, scaled for the kernel.

        The scale gives the kernel's parameters the same meaning at every layer. For ``gaussian``, the mean of
        the points is subtracted and they are divided by the width. For ``polynomial``, they are divided by
        their root mean square norm. If the mask covers more positions than ``samples``, points are drawn at
        random, with probabilities proportional to the mask.

        Args:
            features: activations, ``(1, h, w, c)``.
            mask: ``(1, h, w)``, or None for all positions.

        Returns:
            ``points`` ``(s, c)``, their weights ``shares`` ``(s,)`` with the sum 1, ``centre`` ``(c,)``,
            ``scale`` ``()``, and ``self`` ``()``, the mean of the kernel over all pairs of the points.
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
        """Compute the squared MMD, summed over the batch, and the size of the target; see
        :meth:`Points.compare`.

        The size is ``self`` of the target, the squared norm of the style's mean embedding.
        """
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
    """Compute ``u' matrix v``."""
    high = lax.Precision.HIGHEST
    return jnp.vdot(u, jnp.matmul(matrix, v, precision=high), precision=high)


@partial(jax.jit, static_argnums=0)
def _in_units(statistic: KernelPoints, points: Array, weights: Array) -> Description:
    """Scale the points and compute ``self``; see :meth:`KernelPoints.target`."""
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
