"""Temporal consistency: differences between a frame's picture and the warped picture of the frame before it."""

import jax.numpy as jnp
from jax import Array

from nstjax.errors import InputError
from nstjax.pixels import check_floating
from nstjax.typing import Images, Scalar


def temporal_loss(images: Images, warped: Images, weights: Array) -> Scalar:
    """Compute the mean of ``c (x − ω)²`` over all images, positions and channels (Ruder et al. 2016, arXiv 1604.08610).

    Args:
        images: the pictures ``x``, ``(n, h, w, 3)`` in [0, 1].
        warped: the pictures ``ω`` of the frames before, moved along the optical flow, of the same shape.
        weights: the weights ``c`` of the positions, ``(n, h, w)`` in [0, 1]: 0 where the flow is not reliable, for
            example where a position was not visible in the frame before.

    Returns:
        A scalar; 0 if all weights are 0.

    Raises:
        InputError: If the shapes do not match, or an array is not floating point.
    """
    images, warped, weights = jnp.asarray(images), jnp.asarray(warped), jnp.asarray(weights)
    for name, array in (("image", images), ("warped image", warped), ("array of weights", weights)):
        check_floating(name, array)
    if images.ndim != 4 or images.shape != warped.shape or images.shape[:3] != weights.shape:
        raise InputError(
            f"images of shape {images.shape}, warped images of shape {warped.shape} and weights of shape "
            f"{weights.shape}: they must be (n, h, w, c), the same, and (n, h, w)"
        )
    return (weights[..., None] * jnp.square(images - warped)).mean()
