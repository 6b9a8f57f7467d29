"""Style loss of the windows of an image, which makes a texture uniform.

A Gram matrix is an average over all positions. An image with too much structure in one place and none in
another can have the right Gram matrix. This loss compares the Gram matrix of each window with the target.
"""

import jax.numpy as jnp
from jax import Array, lax

from nstjax.losses.gram import gram_matrix
from nstjax.typing import FeatureMap, GramMatrix, Scalar

POWER = 4
"""Exponent of the power mean over windows: high enough that the windows with the largest losses dominate."""
_SMALLEST = 1e-6  # added to each relative loss: the derivative of the root is infinite at 0


def cell_side(height: int, width: int, windows: int) -> int:
    """Return the side of a cell in positions: half the side of a window, rounded, at least 1.

    Cells are the squares that make up the windows; see :func:`window_grams`.

    Args:
        height: rows of the layer.
        width: columns of the layer.
        windows: number of windows along the shorter side.
    """
    return max(1, round(min(height, width) / (2 * windows)))


def window_grams(features: FeatureMap, windows: int) -> Array:
    """Compute the Gram matrices of overlapping windows, each normalized by its own number of positions.

    The activations are divided into square cells whose side is half that of a window. A window consists of
    two by two adjacent cells. Rows and columns that do not fill a cell are left out at both ends.

    Args:
        features: activations, ``(1, h, w, c)``.
        windows: number of windows along the shorter side, not counting overlapping ones; fewer if a cell
            would be smaller than one position.

    Returns:
        ``(rows, columns, c, c)``, where rows and columns are one less than the number of cells in that
        direction, but at least 1.
    """
    _, h, w, c = features.shape
    side = cell_side(h, w, windows)
    rows, columns = h // side, w // side
    top, left = (h - rows * side) // 2, (w - columns * side) // 2
    inside = lax.slice(features[0], (top, left, 0), (top + rows * side, left + columns * side, c))
    cells = inside.reshape(rows, side, columns, side, c).swapaxes(1, 2)
    grams = gram_matrix(cells.reshape(rows * columns, side, side, c), "positions").reshape(
        rows, columns, c, c
    )
    for axis in range(2):
        if grams.shape[axis] > 1:  # cells have equally many positions, so the mean is the Gram matrix of both
            last = grams.shape[axis]
            grams = (
                lax.slice_in_dim(grams, 1, last, axis=axis) + lax.slice_in_dim(grams, 0, last - 1, axis=axis)
            ) / 2
    return grams


def window_loss(features: FeatureMap, target: GramMatrix, windows: int) -> Scalar:
    """Compute the power mean over windows of ``Σ(G − A)² / ΣA²``, with the exponent :data:`POWER`.

    A small constant (1e-6) is added to the relative loss of each window. If ``ΣA²`` is 0, ``Σ(G − A)²`` is
    not divided.

    Args:
        features: activations, ``(1, h, w, c)``.
        target: ``A``, ``(1, c, c)``, from ``gram_matrix(·, "positions")``.
        windows: see :func:`window_grams`.

    Returns:
        A scalar.
    """
    grams = window_grams(features, windows)
    size = jnp.square(target).sum()
    each = jnp.square(grams - target[0]).sum((2, 3)) / jnp.where(size > 0, size, 1.0)
    return jnp.power(jnp.power(each + _SMALLEST, POWER).mean(), 1 / POWER)
