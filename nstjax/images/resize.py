"""Resampling with antialiasing."""

from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from nstjax.errors import InputError, one_of
from nstjax.pixels import check_floating
from nstjax.typing import FeatureMap, Images

RESIZE_METHODS = ("lanczos3", "cubic", "linear", "nearest")
# The same filters as in jax.image.resize: Lanczos of 3 lobes, and Keys' cubic with a = -1/2.
_PILLOW = {
    "lanczos3": Image.Resampling.LANCZOS,
    "cubic": Image.Resampling.BICUBIC,
    "linear": Image.Resampling.BILINEAR,
}


@overload
def resize(images: np.ndarray, height: int, width: int, method: str = "lanczos3") -> np.ndarray: ...
@overload
def resize(images: jax.Array, height: int, width: int, method: str = "lanczos3") -> jax.Array: ...
def resize(images: Images | FeatureMap, height: int, width: int, method: str = "lanczos3") -> Images:
    """Resample images or feature maps, with an antialiasing filter when they shrink.

    JAX arrays are resized by ``jax.image.resize``. NumPy arrays of float32 are resized by Pillow, whose results are
    the same up to rounding: it compiles nothing, which takes JAX a third of a second for each size.

    Args:
        images: ``(n, h, w, c)``, floating point. ``"nearest"`` takes integers too.
        height: height of the result, ≥ 1.
        width: width of the result, ≥ 1.
        method: one of :data:`RESIZE_METHODS`. ``"lanczos3"`` and ``"cubic"`` overshoot at edges; the result is
            not clipped.

    Returns:
        ``(n, height, width, c)`` of the same dtype; a NumPy array if ``images`` is one, and else a JAX array. It is
        ``images`` itself if the size is the same.

    Raises:
        InputError: If the height or the width is less than 1, the method is unknown, or the images are not floating
            point and the method is not ``"nearest"``.
    """
    one_of("method", method, RESIZE_METHODS)
    if method != "nearest":  # a filter overshoots, and integers would wrap around
        check_floating("image", images)
    if height < 1 or width < 1:
        raise InputError(f"cannot resize to {width}×{height}: both must be at least 1")
    n, h, w, c = images.shape
    if (h, w) == (height, width):
        return images
    if isinstance(images, jax.Array):
        return jax.image.resize(images, (n, height, width, c), method, antialias=True)
    if method == "nearest":  # Pillow does not compute the position of each pixel exactly
        rows, columns = ((2 * np.arange(m) + 1) * k // (2 * m) for m, k in ((height, h), (width, w)))
        return images[:, rows[:, None], columns]
    if images.dtype != np.float32:  # Pillow has no float64
        return np.asarray(resize(jnp.asarray(images), height, width, method)).astype(images.dtype)
    found = np.empty((n, height, width, c), np.float32)
    for i, k in np.ndindex(n, c):
        channel = Image.fromarray(np.ascontiguousarray(images[i, :, :, k]))
        found[i, :, :, k] = np.asarray(channel.resize((width, height), _PILLOW[method]))
    return found


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
