"""Resampling with antialiasing."""

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.typing import FeatureMap, Images

RESIZE_METHODS = ("lanczos3", "cubic", "linear", "nearest")


def resize(images: Images | FeatureMap, height: int, width: int, method: str = "lanczos3") -> jax.Array:
    """Resample images or feature maps, with an antialiasing filter when they shrink (``jax.image.resize``).

    Args:
        images: ``(n, h, w, c)``.
        height: height of the result, ≥ 1.
        width: width of the result, ≥ 1.
        method: one of :data:`RESIZE_METHODS`. ``"lanczos3"`` and ``"cubic"`` overshoot at edges; the result is
            not clipped.

    Returns:
        ``(n, height, width, c)`` of the same dtype.

    Raises:
        InputError: If the height or the width is less than 1.
    """
    if height < 1 or width < 1:
        raise InputError(f"cannot resize to {width}×{height}: both must be at least 1")
    images = jnp.asarray(images)
    n, h, w, c = images.shape
    if (h, w) == (height, width):
        return images
    return jax.image.resize(images, (n, height, width, c), method, antialias=True)


def fit_long_side(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Return the height and width with the same aspect ratio whose longer side is ``long_side``.

    Args:
        height: height in pixels.
        width: width in pixels.
        long_side: longer side of the result, in pixels.

    Returns:
        Height and width, rounded; the shorter side is at least 1.
    """
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
