"""Total variation: differences between neighboring pixels."""

import jax.numpy as jnp

from nstjax.errors import one_of
from nstjax.losses.distance import distance
from nstjax.pixels import check_floating
from nstjax.typing import Images, Scalar

TV_REDUCTIONS = ("sum", "mean")


def total_variation(images: Images, kind: str = "absolute", reduction: str = "sum") -> Scalar:
    """Anisotropic total variation, ``Σ d(x_{i+1,j} − x_{i,j}) + d(x_{i,j+1} − x_{i,j})``.

    ``d`` is the absolute value in the Stanford poster and the thesis (eq. 3.2), the square in many
    programs since. The gradient of the absolute value is 0 between equal neighbours.

    Args:
        images: ``(n, h, w, 3)`` in [0, 1].
        kind: ``"absolute"`` or ``"squared"``.
        reduction: ``"sum"`` over all differences, or ``"mean"``: that sum over ``n·h·w·3``, so that
            a weight means the same at every size.

    Returns:
        A scalar; 0 for a constant image, and for a single pixel.

    Raises:
        InputError: an unknown name, or pixels that are integers, whose differences would wrap around.
    """
    one_of("reduction", reduction, TV_REDUCTIONS)
    images = jnp.asarray(images)
    check_floating("image", images)
    down = distance(images[:, 1:] - images[:, :-1], kind).sum()
    right = distance(images[:, :, 1:] - images[:, :, :-1], kind).sum()
    total = down + right
    return total / images.size if reduction == "mean" else total
