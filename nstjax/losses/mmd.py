"""Maximum mean discrepancy (MMD), used as a style loss (Li et al. 2017, arXiv 1701.01036)."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from nstjax.errors import InputError, one_of
from nstjax.typing import Scalar

KERNELS = ("linear", "polynomial", "gaussian")
Kernel = Literal["linear", "polynomial", "gaussian"]
ESTIMATES = ("biased", "unbiased")
PointSet = Float[Array, "m c"]


def kernel_matrix(
    x: PointSet,
    y: PointSet,
    kernel: str,
    degree: int = 2,
    offset: float = 0.0,
    bandwidth: Scalar | float = 1.0,
) -> Float[Array, "m k"]:
    """Compute the kernel ``k(x_i, y_j)`` of all pairs of points.

    ============== ==================================================================
    ``linear``     x'y
    ``polynomial`` (x'y + offset)^degree; degree 2 and offset 0 give the Gram loss
    ``gaussian``   exp(−‖x − y‖² / (2·bandwidth²))
    ============== ==================================================================

    Args:
        x: points, ``(m, c)``.
        y: points, ``(k, c)``.
        kernel: a name in the table.
        degree: degree of the polynomial kernel.
        offset: offset of the polynomial kernel. It must be 0 or more, which is not checked here: with a
            negative offset the function is not a positive semidefinite kernel.
        bandwidth: bandwidth of the Gaussian kernel, in the units of the points.

    Returns:
        The kernel matrix, ``(m, k)``.

    Raises:
        InputError: If the kernel is unknown.
    """
    one_of("kernel", kernel, KERNELS)
    inner = jnp.matmul(x, y.T, precision=lax.Precision.HIGHEST)
    if kernel == "linear":
        return inner
    if kernel == "polynomial":
        return (inner + offset) ** degree
    squares = jnp.square(x).sum(1)[:, None] + jnp.square(y).sum(1)[None, :] - 2 * inner
    # By rounding, the squared distance of equal points can be slightly negative.
    return jnp.exp(-jnp.maximum(squares, 0.0) / (2 * jnp.square(bandwidth)))


@partial(jax.jit, static_argnames="most")
def median_bandwidth(x: PointSet, y: PointSet | None = None, most: int = 500) -> Scalar:
    """Return the median distance between distinct points of the pooled sample.

    The method is that of Gretton et al. 2012, section 8. Li et al. 2017 (section 4.1) use the mean of the
    squared distances instead. Pairs of equal points are left out: in an image of a painting on white paper
    they are the majority, and the median of all pairs would be 0. Two points count as equal if their distance
    is at most a thousandth of the largest distance.

    Args:
        x: points, ``(m, c)``.
        y: points that are pooled with ``x``, ``(k, c)``, or None for ``x`` alone.
        most: largest number of points to use. They are selected at regular steps, because the time grows with
            the square of their number.

    Returns:
        A scalar. It is 1 if all points are equal or there is only one, so that the kernel is defined.
    """
    points = x if y is None else jnp.concatenate([x, y])
    points = points[:: -(-len(points) // most)]
    if len(points) < 2:
        return jnp.ones((), points.dtype)
    centred = points - points.mean(0)  # reduces cancellation in the squared distances
    squares = jnp.square(centred).sum(1)
    inner = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    rows, columns = jnp.triu_indices(len(points), 1)
    distances = jnp.sqrt(jnp.maximum(squares[:, None] + squares - 2 * inner, 0.0))
    pairs = distances[rows, columns]
    # Rounding turns a distance of 0 into a positive number far below a thousandth of the largest distance.
    found = jnp.nan_to_num(jnp.nanmedian(jnp.where(pairs > 1e-3 * pairs.max(), pairs, jnp.nan)))
    return jnp.where(found > 0, found, 1.0).astype(points.dtype)


def _padded(points: PointSet, weights: Array, block: int) -> tuple[Array, Array]:
    """Split points and their weights into blocks, the last one filled up with points of weight 0.

    Returns:
        Points ``(count, block, c)`` and weights ``(count, block)``.
    """
    count = -(-len(points) // block)
    missing = count * block - len(points)
    points = jnp.pad(points, ((0, missing), (0, 0))).reshape(count, block, points.shape[1])
    return points, jnp.pad(weights, (0, missing)).reshape(count, block)


@partial(jax.jit, static_argnames=("kernel", "degree", "offset", "block"))
def kernel_mean(
    x: PointSet,
    y: PointSet,
    x_weights: Array,
    y_weights: Array,
    kernel: str,
    degree: int = 2,
    offset: float = 0.0,
    bandwidth: Scalar | float = 1.0,
    block: int = 1024,
) -> Scalar:
    """Compute the weighted sum ``Σ_i Σ_j u_i v_j k(x_i, y_j)`` block by block.

    At most one kernel matrix of ``block``×``block`` values is in memory at a time. The gradient computes each
    block again instead of storing it.

    Args:
        x: points, ``(m, c)``.
        y: points, ``(k, c)``.
        x_weights: ``u``, ``(m,)``. If ``u`` and ``v`` sum to 1, the result is a weighted mean.
        y_weights: ``v``, ``(k,)``.
        kernel: see :func:`kernel_matrix`.
        degree: see :func:`kernel_matrix`.
        offset: see :func:`kernel_matrix`.
        bandwidth: see :func:`kernel_matrix`.
        block: number of points along a side of a block.

    Returns:
        A scalar.
    """
    blocks_x, blocks_y = (_padded(p, w, min(block, len(p))) for p, w in ((x, x_weights), (y, y_weights)))

    @jax.checkpoint
    def pair(xs: tuple[Array, Array], ys: tuple[Array, Array]) -> Array:
        matrix = kernel_matrix(xs[0], ys[0], kernel, degree, offset, bandwidth)
        high = lax.Precision.HIGHEST
        return jnp.vdot(xs[1], jnp.matmul(matrix, ys[1], precision=high), precision=high)

    def row(total: Array, xs: tuple[Array, Array]) -> tuple[Array, None]:
        part, _ = lax.scan(lambda s, ys: (s + pair(xs, ys), None), jnp.zeros((), x.dtype), blocks_y)
        return total + part, None

    return lax.scan(row, jnp.zeros((), x.dtype), blocks_x)[0]


def _check(x: PointSet, y: PointSet, kernel: str, degree: int, offset: float) -> None:
    """Check the shapes of the points and the parameters of the kernel."""
    one_of("kernel", kernel, KERNELS)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or 0 in x.shape + y.shape:
        raise InputError(
            f"the points have shapes {x.shape} and {y.shape}: they must be (m, c) and (k, c), of one c, m, k ≥ 1"
        )
    if degree < 1 or offset < 0:
        raise InputError(
            f"(x'y + {offset})^{degree} is not a kernel: the degree must be 1 or more, the offset 0 or more"
        )


def _bandwidth(bandwidth: Scalar | float | None, x: PointSet, y: PointSet) -> Scalar | float:
    """Return the given bandwidth; if it is None, the median distance of both samples, without a gradient."""
    if bandwidth is None:
        # Without this, an optimizer could lower the loss by increasing the bandwidth without bound.
        return lax.stop_gradient(median_bandwidth(x, y))
    if isinstance(bandwidth, int | float) and not bandwidth > 0:
        raise InputError(f"the bandwidth is {bandwidth}: it must be greater than 0")
    return bandwidth


def _centred(x: PointSet, y: PointSet) -> tuple[PointSet, PointSet]:
    """Subtract the mean of ``y`` from both point sets.

    Distances do not change, and rounding errors are smaller.
    """
    centre = lax.stop_gradient(y.mean(0))
    return x - centre, y - centre


def mmd2(
    x: PointSet,
    y: PointSet,
    kernel: str = "polynomial",
    *,
    degree: int = 2,
    offset: float = 0.0,
    bandwidth: Scalar | float | None = None,
    estimate: str = "biased",
    x_weights: Array | None = None,
    y_weights: Array | None = None,
    block: int = 1024,
) -> Scalar:
    """Compute the squared MMD of two samples.

    It is ``E k(x, x') + E k(y, y') − 2 E k(x, y)``, over all pairs, computed block by block (the Pomona
    thesis (Barnes 2018), eq. 2.5; Gretton et al. 2012, eq. 3 and 5). With the kernel ``(x'y)²`` and
    ``F'F = m·G_x`` it equals ``Σ (G_x − G_y)²``, the Gram loss (the Pomona thesis, eq. 2.6 to 2.13).

    Args:
        x: activations at ``m`` positions, ``(m, c)``.
        y: activations at ``k`` positions, ``(k, c)``.
        kernel: ``"linear"``, ``"polynomial"`` or ``"gaussian"``; see :func:`kernel_matrix`.
        degree: degree of the polynomial kernel, 1 or more.
        offset: offset of the polynomial kernel, 0 or more.
        bandwidth: bandwidth of the Gaussian kernel, greater than 0. None uses :func:`median_bandwidth` of
            both samples, without a gradient.
        estimate: ``"biased"`` for the V-statistic, which is 0 or more, and 0 for equal samples;
            ``"unbiased"`` to leave out the pairs of a point with itself. The unbiased estimate may be
            negative, and needs two or more points in each sample.
        x_weights: weights of the points ``x``, ``(m,)``, 0 or more, normalized here to the sum 1. None
            weights all points equally. Only for the biased estimate.
        y_weights: weights of the points ``y``, ``(k,)``, with the same rules.
        block: largest number of points along a side of a kernel matrix in memory.

    Returns:
        A scalar.

    Raises:
        InputError: If the shapes of the points do not match, a name is unknown, the parameters of the polynomial
            do not give a kernel, the Gaussian's bandwidth is a number of 0 or less, or the unbiased estimate
            is asked for with weights or with fewer than two points in a sample.
    """
    _check(x, y, kernel, degree, offset)
    one_of("estimate", estimate, ESTIMATES)
    weighted = x_weights is not None or y_weights is not None
    for name, points, weights in (("x_weights", x, x_weights), ("y_weights", y, y_weights)):
        if weights is not None and weights.shape != (len(points),):
            raise InputError(f"`{name}` must have the shape ({len(points)},), one weight for each point")
    if estimate == "unbiased" and (weighted or min(len(x), len(y)) < 2):
        raise InputError(
            "the unbiased estimate needs two or more points a side, without weights: use the biased one"
        )
    if kernel == "gaussian":
        sigma = _bandwidth(bandwidth, x, y)
        x, y = _centred(x, y)
    else:
        sigma = 1.0
    how = (kernel, degree, offset, sigma)

    def self_mean(points: PointSet, weights: Array | None) -> tuple[Array, Array]:
        count = len(points)
        shares = jnp.full(count, 1 / count, points.dtype) if weights is None else weights / weights.sum()
        mean = kernel_mean(points, points, shares, shares, *how, block=block)
        if estimate == "unbiased":
            alone = jax.vmap(lambda p: kernel_matrix(p[None], p[None], *how)[0, 0])(points)
            mean = (mean * count - alone.mean()) / (count - 1)
        return mean, shares

    xx, u = self_mean(x, x_weights)
    yy, v = self_mean(y, y_weights)
    return xx + yy - 2 * kernel_mean(x, y, u, v, *how, block=block)


def mmd2_linear_time(
    x: PointSet,
    y: PointSet,
    key: Array,
    kernel: str = "polynomial",
    *,
    degree: int = 2,
    offset: float = 0.0,
    bandwidth: Scalar | float | None = None,
) -> Scalar:
    """Estimate the squared MMD without bias, in linear time.

    The estimate is the mean of ``k(x, x') + k(y, y') − k(x, y') − k(x', y)`` over ``⌊min(m, k)/2⌋`` random
    quadruples (Gretton et al. 2012, lemma 14; Li et al. 2017, eq. 10). Each point is used at most once. The
    estimate may be negative.

    Args:
        x: points, ``(m, c)`` with ``m ≥ 2``.
        y: points, ``(k, c)`` with ``k ≥ 2``.
        key: key from :func:`jax.random.key`. It determines which points form a quadruple.
        kernel: see :func:`mmd2`.
        degree: see :func:`mmd2`.
        offset: see :func:`mmd2`.
        bandwidth: bandwidth of the Gaussian kernel; None for the median distance of both samples.

    Returns:
        A scalar.

    Raises:
        InputError: If the shapes of the points do not match, the kernel is unknown, the parameters of the
            polynomial do not give a kernel, the Gaussian's bandwidth is a number of 0 or less, or a sample
            has fewer than two points.
    """
    _check(x, y, kernel, degree, offset)
    pairs = min(len(x), len(y)) // 2
    if pairs < 1:
        raise InputError("the linear-time estimate needs two or more points a side")
    sigma: Scalar | float = 1.0
    if kernel == "gaussian":
        sigma, x, y = _bandwidth(bandwidth, x, y), *_centred(x, y)
    for_x, for_y = jax.random.split(key)
    x = x[jax.random.permutation(for_x, len(x))[: 2 * pairs]].reshape(pairs, 2, -1)
    y = y[jax.random.permutation(for_y, len(y))[: 2 * pairs]].reshape(pairs, 2, -1)

    def quadruple(a: Array, b: Array) -> Array:
        k = kernel_matrix(jnp.concatenate([a, b]), jnp.concatenate([a, b]), kernel, degree, offset, sigma)
        return k[0, 1] + k[2, 3] - k[0, 3] - k[1, 2]

    return jax.vmap(quadruple)(x, y).mean()
