"""Style by a kernel without a finite map: the positions of a picture against those of a painting."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from nstjax.losses.distance import relative
from nstjax.losses.mmd import kernel_matrix, kernel_mean, median_bandwidth
from nstjax.losses.spatial import Masks
from nstjax.typing import FeatureMap, Scalar

_SEED = 0  # of which positions meet: fixed, so that the loss is one function throughout a run


def _draw(count: int, shares: np.ndarray, number: int) -> np.ndarray:
    """``number`` different positions of positive share, likelier the larger it is."""
    rng = np.random.default_rng(_SEED)
    return rng.choice(count, number, replace=False, p=shares)


def points_target(
    features: FeatureMap,
    mask: Masks | None,
    kernel: str,
    degree: int,
    offset: float,
    bandwidth: float | None,
    samples: int,
) -> dict[str, Array]:
    """Points of the style image, in units in which the kernel's parameters mean the same at every layer.

    For ``gaussian`` they are less their mean, over the bandwidth (in units of the median distance if
    ``bandwidth`` is given, else that distance itself); for ``polynomial`` over their root mean square norm.

    Args:
        features: ``(1, h, w, c)``.
        mask: ``(1, h, w)`` or none.
        kernel: ``"gaussian"`` or ``"polynomial"``.
        degree: of the polynomial.
        offset: of the polynomial.
        bandwidth: factor on the median distance; none is 1.
        samples: points taken, or 0 for all.

    Returns:
        ``points`` ``(s, c)``, ``shares`` ``(s,)``, ``centre`` ``(c,)``, ``scale`` ``()``, and ``self``, the
        mean of the kernel over pairs of them.
    """
    c = features.shape[-1]
    points = features.reshape(-1, c)
    shares = np.ones(len(points)) if mask is None else np.asarray(mask, np.float64).ravel()
    shares = shares / shares.sum()
    inside = int((shares > 0).sum())
    if samples and samples < inside:
        points = points[_draw(len(points), shares, samples)]
        weights = jnp.full(samples, 1 / samples, points.dtype)
    else:
        points = points[np.flatnonzero(shares)]
        weights = jnp.asarray(shares[shares > 0], points.dtype)
    return _in_units(points, weights, kernel, degree, offset, 1.0 if bandwidth is None else bandwidth)


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _in_units(
    points: Array, weights: Array, kernel: str, degree: int, offset: float, bandwidth: float
) -> dict[str, Array]:
    high = lax.Precision.HIGHEST
    if kernel == "gaussian":
        centre = jnp.matmul(weights, points, precision=high)
        scale = median_bandwidth(points) * bandwidth
    else:
        centre = jnp.zeros(points.shape[1], points.dtype)
        norm = jnp.sqrt(jnp.vdot(weights, jnp.square(points).sum(1), precision=high))
        scale = jnp.where(norm > 0, norm, 1.0)
    points = (points - centre) / scale
    own = kernel_mean(points, points, weights, weights, kernel, degree, offset)
    return {"points": points, "shares": weights, "centre": centre, "scale": scale, "self": own}


def points_order(shape: tuple[int, int], mask: Masks | None, samples: int) -> Array:
    """Blocks of positions that are compared among themselves: ``(b, s)`` indices, every position in at least one.

    The last block is filled up with positions of the first, which so count twice.
    """
    rng = np.random.default_rng(_SEED)
    inside = np.arange(shape[0] * shape[1]) if mask is None else np.flatnonzero(np.asarray(mask).ravel())
    order = rng.permutation(inside)
    size = min(samples or len(order), len(order))
    blocks = -(-len(order) // size)
    return jnp.asarray(np.resize(order, (blocks, size)))


def _mean(u: Array, matrix: Array, v: Array) -> Array:
    high = lax.Precision.HIGHEST
    return jnp.vdot(u, jnp.matmul(matrix, v, precision=high), precision=high)


def points_loss(
    features: FeatureMap,
    mask: Masks | None,
    order: Array,
    target: dict[str, Array],
    kernel: str,
    degree: int,
    offset: float,
    samples: int,
    by_size: bool,
) -> Scalar:
    """Squared maximum mean discrepancy of a region's positions and a target's points.

    With ``samples`` it is the average over blocks of positions (Zaremba, Gretton and Blaschko 2013, arXiv
    1307.1954: between the linear-time estimate, blocks of two, and the exact one): every position is in a
    block, so that every pixel is painted, and the cost grows with the positions, not their square. With
    ``samples`` 0 it is exact.

    Args:
        features: ``(n, h, w, c)``.
        mask: ``(1, h, w)`` or none.
        order: from :func:`points_order`.
        target: from :func:`points_target`.
        kernel: ``"gaussian"`` or ``"polynomial"``.
        degree: of the polynomial.
        offset: of the polynomial.
        samples: 0 for the exact value.
        by_size: divide by the target's own mean kernel, its squared norm.

    Returns:
        A scalar, summed over the batch.
    """
    n, _, _, c = features.shape
    points, own, v = target["points"], target["self"], target["shares"]
    z = (features.reshape(n, -1, c) - target["centre"]) / target["scale"]
    u = jnp.ones(z.shape[1], z.dtype) if mask is None else mask.ravel().astype(z.dtype)

    def of_block(block: tuple[Array, Array]) -> Array:
        x, w = block
        share = w / w.sum()
        among = _mean(share, kernel_matrix(x, x, kernel, degree, offset), share)
        return among - 2 * _mean(share, kernel_matrix(x, points, kernel, degree, offset), v)

    def of_image(x: Array) -> Array:
        if not samples:
            w = u[order[0]] / u[order[0]].sum()
            x = x[order[0]]
            among = kernel_mean(x, x, w, w, kernel, degree, offset)
            return among - 2 * kernel_mean(x, points, w, v, kernel, degree, offset)
        weights = u[order]
        parts = jax.lax.map(jax.checkpoint(of_block), (x[order], weights))
        return jnp.vdot(parts, weights.sum(1) / weights.sum(), precision=lax.Precision.HIGHEST)

    loss = (jnp.stack([of_image(z[i]) for i in range(n)]) + own).sum()
    return relative(loss, own) if by_size else loss
