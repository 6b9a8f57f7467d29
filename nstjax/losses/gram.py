"""Gram matrices and style losses made from them."""

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
    # Squares of activations span many orders of magnitude: no reduced-precision product here.
    return jnp.einsum("...pi,...pj->...ij", f, g, precision=lax.Precision.HIGHEST)


def _of_first(g: Array, product: Array) -> Array:
    return jnp.matmul(g, product.swapaxes(-1, -2), precision=lax.Precision.HIGHEST)


def _of_second(f: Array, product: Array) -> Array:
    return jnp.matmul(f, product, precision=lax.Precision.HIGHEST)


def cross_moments(f: Array, g: Array) -> Array:
    """``f'g`` over the positions, ``(…, p, i)`` and ``(…, p, j)`` to ``(…, i, j)``.

    JAX's own transpose of this product gives a transposed result, which XLA copies.
    """
    return bilinear(_product, _of_first, _of_second, f, g)


@jax.custom_jvp
def _second_moments(f: Array) -> Array:
    return _product(f, f)


@_second_moments.defjvp
def _second_moments_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # One product, forwards and (transposed) backwards, where automatic differentiation takes one for each factor.
    (f,), (tangent,) = primals, tangents
    half = cross_moments(f, tangent)
    return _second_moments(f), half + half.swapaxes(1, 2)


def gram_matrix(features: FeatureMap, normalization: str = "none") -> GramMatrix:
    """Second moments of a layer's channels: ``F'F`` with ``F`` of shape ``(h·w, c)``.

    ============== ==========================================================
    ``none``       F'F: Gatys et al. 2016, eq. 3
    ``size``       F'F / (c·h·w): Johnson et al. 2016, eq. 3
    ``positions``  F'F / (h·w): Gatys's own code; the mean outer product
    ============== ==========================================================

    Args:
        features: ``(n, h, w, c)``.
        normalization: a name of the table.

    Returns:
        ``(n, c, c)``, symmetric and positive semidefinite.

    Raises:
        InputError: an unknown name.
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
    """Distance of two Gram matrices, both normalised by positions, ``G = F'F/(h·w)``.

    With ``d(·)`` the square or the absolute value, ``C`` channels, and ``M`` and ``M'`` positions of the two images:

    ============== =========================================================================
    ``gatys``      Σ d(G − A) / (4C²): Gatys et al. 2016, eq. 4, ``Σ(F'F − S'S)²/(4N²M²)``
    ``johnson``    mean d(G/C − A/C): the Gram matrix of Johnson et al. 2016, eq. 3, under mean squares
    ``relative``   Σ d(G − A) / Σ d(A): independent of the layer's scale
    ``sum``        Σ d(G − A): Stanford poster, with spatial control
    ``raw_sum``    Σ d(M·G − M'·A): of the undivided F'F and S'S, each over its own image's positions; Duke report,
                   section 2.2; Stanford poster, without spatial control; thesis, eq. 2.1 and 2.3
    ============== =========================================================================

    The three reports leave the sum undivided, so ``raw_sum`` grows with the square of the picture's size, and pictures
    of different sizes have a minimum elsewhere: at ``M·G = M'·A``, not at equal statistics. Their style weights
    belong to one size. The poster's sum over regions divides each by its own positions, which is ``sum``.

    Gatys et al. give eq. 4 for one ``M``, the positions of both images; matrices normalised by
    positions extend it to two images of different sizes and equal it where the sizes are equal. With
    absolute values the factor of ``gatys`` is the same (it is then linear in ``1/M``, not quadratic).
    Johnson et al. (eq. 4) take the sum of squares, not the mean; the mean is their released code's.

    Args:
        gram: ``(n, C, C)`` by ``gram_matrix(·, "positions")``.
        target: the same shape, or ``(1, C, C)``.
        normalization: a name of the table.
        kind: ``"squared"`` or ``"absolute"``.
        positions: for ``raw_sum``, the number of positions of ``gram`` and of ``target`` (with a mask its sum), each
            ``(n,)`` or a scalar.

    Returns:
        A scalar, summed over the batch (averaged for ``johnson``).

    Raises:
        InputError: an unknown name, or ``raw_sum`` without ``positions``.
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
