"""Style losses of the windows of a picture, which make a texture uniform.

A Gram matrix averages over all positions, so a picture with too much structure in one place and none in another can
have the right one. This loss compares the Gram matrix of each window with the target's.
"""

import jax.numpy as jnp
from jax import Array, lax

from nstjax.losses.gram import gram_matrix
from nstjax.typing import FeatureMap, GramMatrix, Scalar

POWER = 4
"""Of the mean over windows: high enough that the worst windows decide."""
_SMALLEST = 1e-6  # of a relative loss: the root has no slope at 0


def cell_side(height: int, width: int, windows: int) -> int:
    """Positions along a cell's side: half a window's side, at least 1."""
    return max(1, round(min(height, width) / (2 * windows)))


def window_grams(features: FeatureMap, windows: int) -> Array:
    """Gram matrices of overlapping windows, each over its own positions.

    The features are divided into cells of half a window's side; a window is two by two adjacent cells. Rows and columns
    that do not fill a cell are left out at both ends.

    Args:
        features: ``(1, h, w, c)``.
        windows: along the shorter side, without overlaps; fewer if a cell would be less than one position.

    Returns:
        ``(rows, columns, c, c)``, where rows and columns are one less than the cells.
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
        if grams.shape[axis] > 1:  # equally many positions: the mean is the Gram matrix of both
            last = grams.shape[axis]
            grams = (
                lax.slice_in_dim(grams, 1, last, axis=axis) + lax.slice_in_dim(grams, 0, last - 1, axis=axis)
            ) / 2
    return grams


def window_loss(features: FeatureMap, target: GramMatrix, windows: int) -> Scalar:
    """Power mean over windows of ``Σ(G − A)² / ΣA²``, with exponent :data:`POWER`.

    Args:
        features: ``(1, h, w, c)``.
        target: ``A``, ``(1, c, c)`` by ``gram_matrix(·, "positions")``.
        windows: see :func:`window_grams`.
    """
    grams = window_grams(features, windows)
    size = jnp.square(target).sum()
    each = jnp.square(grams - target[0]).sum((2, 3)) / jnp.where(size > 0, size, 1.0)
    return jnp.power(jnp.power(each + _SMALLEST, POWER).mean(), 1 / POWER)
