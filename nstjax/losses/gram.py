"""Gram matrices, and style losses that compare them."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from nstjax.errors import InputError, one_of
from nstjax.linear import bilinear
from nstjax.losses.distance import distance, relative
from nstjax.typing import FeatureMap, GramMatrix, Scalar

GRAM_NORMALIZATIONS = ("none", "size", "positions")
STYLE_LOSSES = ("gatys", "johnson", "relative", "sum", "raw_sum")


def _product(f: Array, g: Array) -> Array:
    """Compute ``f'g`` over the positions."""
    # Full precision, because squares of activations span many orders of magnitude.
    return jnp.einsum("...pi,...pj->...ij", f, g, precision=lax.Precision.HIGHEST)


def _of_first(g: Array, product: Array) -> Array:
    """Compute the transpose of :func:`_product` with respect to its first factor."""
    return jnp.matmul(g, product.swapaxes(-1, -2), precision=lax.Precision.HIGHEST)


def _of_second(f: Array, product: Array) -> Array:
    """Compute the transpose of :func:`_product` with respect to its second factor."""
    return jnp.matmul(f, product, precision=lax.Precision.HIGHEST)


def cross_moments(f: Array, g: Array) -> Array:
    """Compute ``f'g``, the sum over positions of the outer products of two sets of activations.

    The product has explicit transposes: the one that JAX derives returns a transposed array, which XLA then
    copies.

    Args:
        f: ``(…, p, i)``.
        g: ``(…, p, j)``.

    Returns:
        ``(…, i, j)``.
    """
    return bilinear(_product, _of_first, _of_second, f, g)


@jax.custom_jvp
def _second_moments(f: Array) -> Array:
    """Compute ``f'f`` over the positions, ``(n, p, c)`` to ``(n, c, c)``."""
    return _product(f, f)


@_second_moments.defjvp
def _second_moments_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # One product in forward mode, and one (its transpose) in reverse mode. Automatic differentiation would
    # compute one for each of the two factors.
    (f,), (tangent,) = primals, tangents
    half = cross_moments(f, tangent)
    return _second_moments(f), half + half.swapaxes(1, 2)


def gram_matrix(features: FeatureMap, normalization: str = "none") -> GramMatrix:
    """Compute the Gram matrix of each image: the second moments ``F'F`` of a layer's channels.

    ``F`` has the shape ``(h·w, c)``.

    ============== ==========================================================
    ``none``       F'F: Gatys et al. 2016, eq. 3
    ``size``       F'F / (c·h·w): Johnson et al. 2016, eq. 3
    ``positions``  F'F / (h·w): the code of Gatys et al.; the mean outer product
    ============== ==========================================================

    Args:
        features: activations, ``(n, h, w, c)``.
        normalization: a name in the table.

    Returns:
        ``(n, c, c)``, symmetric and positive semidefinite.

    Raises:
        InputError: If the normalization is unknown.
    """
    one_of("normalization", normalization, GRAM_NORMALIZATIONS)
    n, h, w, c = features.shape
    f = features.reshape(n, h * w, c)
    gram = _second_moments(f)
    divisor = {"none": 1, "size": c * h * w, "positions": h * w}[normalization]
    return gram / divisor if divisor != 1 else gram


def style_loss(
    gram: GramMatrix,
    target: GramMatrix,
    normalization: str = "gatys",
    kind: str = "squared",
    positions: tuple[Array, Array] | None = None,
) -> Scalar:
    """Compute the distance between Gram matrices that are normalized by positions, ``G = F'F/(h·w)``.

    Here ``d(·)`` is the square or the absolute value, ``C`` the number of channels, and ``M`` and ``M'`` are
    the numbers of positions of the two images:

    ============== =========================================================================
    ``gatys``      Σ d(G − A) / (4C²): Gatys et al. 2016, eq. 4, ``Σ(F'F − S'S)²/(4N²M²)``
    ``johnson``    mean d(G/C − A/C): the Gram matrix of Johnson et al. 2016, eq. 3, with mean squares
    ``relative``   Σ d(G − A) / Σ d(A): independent of the scale of the layer's activations
    ``sum``        Σ d(G − A): the Stanford poster, with spatial control
    ``raw_sum``    Σ d(M·G − M'·A), with F'F and S'S not divided by positions: the Duke report, section 2.2;
                   the Stanford poster, without spatial control; the Pomona thesis, eq. 2.1 and 2.3
    ============== =========================================================================

    The three documents cited for ``raw_sum`` (the thesis is Barnes 2018) do not divide the sum, so it grows
    with the square of the number of positions. For images of different sizes its minimum is at
    ``M·G = M'·A``, not at equal Gram matrices, and a style weight is valid for one size only. The poster's
    sum over regions divides each Gram matrix by its own number of positions, which is ``sum``.

    Gatys et al. give eq. 4 for one ``M``, the number of positions of both images. Matrices normalized by
    positions extend it to two images of different sizes, and give the same value where the sizes are equal.
    With absolute values ``gatys`` has the same factor; the loss is then linear in ``1/M`` instead of
    quadratic. Johnson et al. (eq. 4) use the sum of squares, not the mean; the mean is that of their released
    code.

    Args:
        gram: ``G``, ``(n, C, C)``, from ``gram_matrix(·, "positions")``.
        target: ``A``, the same shape or ``(1, C, C)``.
        normalization: a name in the table.
        kind: ``"squared"`` or ``"absolute"``.
        positions: only for ``raw_sum``: the numbers of positions of ``gram`` and of ``target`` (for a region,
            the sum of its mask), each ``(n,)`` or a scalar.

    Returns:
        A scalar, summed over the batch (averaged for ``johnson``). ``relative`` divides the sum over the batch by the
        sum over all targets: with a target for each image, it is the ratio of the sums.

    Raises:
        InputError: If a name is unknown, or ``raw_sum`` is used without ``positions``.
    """
    one_of("normalization", normalization, STYLE_LOSSES)
    if normalization == "raw_sum":
        if positions is None:
            raise InputError(
                "the style loss raw_sum needs positions, the numbers of positions of both images"
            )
        gram, target = (
            matrix * jnp.reshape(jnp.asarray(count), (-1, 1, 1))
            for matrix, count in zip((gram, target), positions, strict=True)
        )
    channels = gram.shape[-1]
    if normalization == "johnson":
        return distance((gram - target) / channels, kind).mean()
    total = distance(gram - target, kind).sum()
    if normalization == "gatys":
        return total / (4 * channels**2)
    if normalization == "relative":
        return relative(total, distance(target, kind).sum())
    return total
