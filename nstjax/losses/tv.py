"""Total variation: differences between neighboring pixels."""

import jax.numpy as jnp

from nstjax.errors import one_of
from nstjax.losses.distance import distance
from nstjax.pixels import check_floating
from nstjax.typing import Images, Scalar

TV_REDUCTIONS = ("sum", "mean")


def total_variation(images: Images, kind: str = "absolute", reduction: str = "sum") -> Scalar:
    """Compute the anisotropic total variation, ``Σ d(x_{i+1,j} − x_{i,j}) + d(x_{i,j+1} − x_{i,j})``.

    ``d`` is the absolute value in the Stanford poster and the Pomona thesis (Barnes 2018, eq. 3.2), and the
    square in many later programs. The gradient of the absolute value is 0 between equal neighbors.

    Args:
        images: ``(n, h, w, 3)`` in [0, 1].
        kind: ``"absolute"`` or ``"squared"``.
        reduction: ``"sum"`` over all differences, or ``"mean"``, which is the sum divided by ``n·h·w·3``, so
            that a weight has the same effect at every size.

    Returns:
        A scalar; 0 for constant images and for single pixels.

    Raises:
        InputError: If a name is unknown, or the pixels are integers, whose differences would wrap around.
    """
    one_of("reduction", reduction, TV_REDUCTIONS)
    images = jnp.asarray(images)
    check_floating("image", images)
    down = distance(images[:, 1:] - images[:, :-1], kind).sum()
    right = distance(images[:, :, 1:] - images[:, :, :-1], kind).sum()
    total = down + right
    return total / images.size if reduction == "mean" else total
