"""Maximum mean discrepancy between two sets of points (Li et al. 2017, arXiv 1701.01036)."""

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
    """``k(x_i, y_j)`` for all pairs.

    ============== ==================================================================
    ``linear``     x'y
    ``polynomial`` (x'y + offset)^degree; degree 2 and offset 0 give the Gram loss
    ``gaussian``   exp(−‖x − y‖² / (2·bandwidth²))
    ============== ==================================================================

    Args:
        x: ``(m, c)``.
        y: ``(k, c)``.
        kernel: a name of the table.
        degree: of the polynomial.
        offset: of the polynomial, ≥ 0 (a negative one gives no kernel).
        bandwidth: of the Gaussian, in units of the points.

    Raises:
        InputError: an unknown kernel.
    """
    one_of("kernel", kernel, KERNELS)
    inner = jnp.matmul(x, y.T, precision=lax.Precision.HIGHEST)
    if kernel == "linear":
        return inner
    if kernel == "polynomial":
        return (inner + offset) ** degree
    squares = jnp.square(x).sum(1)[:, None] + jnp.square(y).sum(1)[None, :] - 2 * inner
    # Rounding can leave a distance of equal points a little below 0.
    return jnp.exp(-jnp.maximum(squares, 0.0) / (2 * jnp.square(bandwidth)))


@partial(jax.jit, static_argnames="most")
def median_bandwidth(x: PointSet, y: PointSet | None = None, most: int = 500) -> Scalar:
    """The median distance of two points that differ, in the aggregate sample (Gretton et al. 2012, section 8).

    Pairs of equal points are left out: of a painting on white paper they are most, and the median of all
    would be 0.

    Li et al. 2017 (section 4.1) take the mean of the squared distances instead.

    Args:
        x: ``(m, c)``.
        y: ``(k, c)``, pooled with ``x``; none for ``x`` alone.
        most: points looked at, taken at even steps: the median of all pairs costs the square of them.

    Returns:
        A scalar; 1 where all points are the same, so that the kernel is defined.
    """
    points = x if y is None else jnp.concatenate([x, y])
    points = points[:: -(-len(points) // most)]
    if len(points) < 2:
        return jnp.ones((), points.dtype)
    centred = points - points.mean(0)  # less cancellation in the squared distances
    squares = jnp.square(centred).sum(1)
    inner = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    rows, columns = jnp.triu_indices(len(points), 1)
    distances = jnp.sqrt(jnp.maximum(squares[:, None] + squares - 2 * inner, 0.0))
    pairs = distances[rows, columns]
    # A thousandth of the largest is far above what rounding makes of 0.
    found = jnp.nan_to_num(jnp.nanmedian(jnp.where(pairs > 1e-3 * pairs.max(), pairs, jnp.nan)))
    return jnp.where(found > 0, found, 1.0).astype(points.dtype)


def _padded(points: PointSet, weights: Array, block: int) -> tuple[Array, Array]:
    """Blocks of ``block`` points and their weights; points of weight 0 fill the last."""
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
    """``Σ_i Σ_j u_i v_j k(x_i, y_j)``, with no more than a ``block``×``block`` matrix in memory at a time.

    The gradient computes each block again instead of keeping it.
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
    one_of("kernel", kernel, KERNELS)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or 0 in x.shape + y.shape:
        raise InputError(
            f"the points have shapes {x.shape} and {y.shape}: they must be (m, c) and (k, c), of one c, m, k ≥ 1"
        )
    if degree < 1 or offset < 0:
        raise InputError(
            f"(x'y + {offset})^{degree} is no kernel: the degree must be 1 or more, the offset 0 or more"
        )


def _bandwidth(bandwidth: Scalar | float | None, x: PointSet, y: PointSet) -> Scalar | float:
    if bandwidth is None:
        # A scale, not something to be optimised: it would grow without bound.
        return lax.stop_gradient(median_bandwidth(x, y))
    if isinstance(bandwidth, int | float) and not bandwidth > 0:
        raise InputError(f"the bandwidth is {bandwidth}: it must be greater than 0")
    return bandwidth


def _centred(x: PointSet, y: PointSet) -> tuple[PointSet, PointSet]:
    """Shifted alike, which leaves distances as they are; rounding is less about the mean."""
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
    """Squared maximum mean discrepancy of two samples (thesis, eq. 2.5; Gretton et al. 2012, eq. 3 and 5).

    ``E k(x, x') + E k(y, y') − 2 E k(x, y)``, all pairs, computed by blocks. With the kernel ``(x'y)²``
    and ``F'F = m·G_x`` it is ``Σ (G_x − G_y)²``: the Gram loss (thesis, eq. 2.6 to 2.13).

    Args:
        x: ``(m, c)``: activations at ``m`` positions.
        y: ``(k, c)``.
        kernel: ``"linear"``, ``"polynomial"`` or ``"gaussian"``; see :func:`kernel_matrix`.
        degree: of the polynomial.
        offset: of the polynomial.
        bandwidth: of the Gaussian; none for :func:`median_bandwidth` of both samples (no gradient).
        estimate: ``"biased"`` (the V-statistic, ≥ 0, 0 for equal samples) or ``"unbiased"`` (without the
            pairs of a point with itself; it may be negative, and needs two points of each).
        x_weights: ``(m,)``, ≥ 0: the share of each point, normalised here; none for equal ones. Biased only.
        y_weights: ``(k,)``, likewise.
        block: points a side of the largest matrix kept.

    Returns:
        A scalar.

    Raises:
        InputError: shapes that do not fit, an unknown name, a polynomial that is no kernel, a number
            of 0 or less for the bandwidth, or an unbiased estimate of weighted points or of a single one.
    """
    _check(x, y, kernel, degree, offset)
    one_of("estimate", estimate, ESTIMATES)
    weighted = x_weights is not None or y_weights is not None
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
    """An unbiased estimate from each point once (Gretton et al. 2012, lemma 14; Li et al. 2017, eq. 10).

    The mean over ``⌊min(m, k)/2⌋`` random quadruples of
    ``k(x, x') + k(y, y') − k(x, y') − k(x', y)``. It may be negative.

    Args:
        x: ``(m, c)`` with ``m ≥ 2``.
        y: ``(k, c)`` with ``k ≥ 2``.
        key: from :func:`jax.random.key`; which points meet.
        kernel: see :func:`mmd2`.
        degree: of the polynomial.
        offset: of the polynomial.
        bandwidth: of the Gaussian; none for the median of both samples.

    Raises:
        InputError: as :func:`mmd2`; or a sample of fewer than two points.
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
