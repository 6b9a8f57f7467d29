"""Checks of pixel arrays, which have a floating-point dtype and values in [0, 1]."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of Rec. 601."""
FARTHEST = 2.0
"""Largest absolute value that is accepted: sharp resampling filters overshoot [0, 1], but never this far."""


def check_floating(name: str, image: Any) -> None:
    """Raise :class:`InputError` unless an image has a floating-point dtype. This also works on traced arrays.

    Integers are not converted, because their range is unknown: it may be 0 to 255, 0 to 65535, or 0 and 1.

    Args:
        name: what the message calls the image, such as ``"content image"``.
        image: an array, or nested sequences of numbers.
    """
    dtype = image.dtype if hasattr(image, "dtype") else np.asarray(image).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(
            f"the {name} has type {dtype}: it must be floating point with values in [0, 1]; divide 8-bit values by 255"
        )


def check_finite(name: str, image: np.ndarray) -> None:
    """Raise :class:`InputError` unless all values of an image are finite.

    Args:
        name: what the message calls the image.
        image: a floating-point array on the host.
    """
    if not np.isfinite(image).all():
        raise InputError(f"the {name} holds values that are not finite: check where it comes from")


def check_range(name: str, image: np.ndarray) -> None:
    """Raise :class:`InputError` if values are far outside [0, 1], such as values of 0 to 255.

    Args:
        name: what the message calls the image.
        image: an array on the host, with finite values; a value is accepted if it is in
            [−:data:`FARTHEST`, :data:`FARTHEST`].
    """
    if image.size and (image.max() > FARTHEST or image.min() < -FARTHEST):
        raise InputError(
            f"the {name} has values from {image.min():g} to {image.max():g}: they must be in [0, 1]; divide values of "
            f"0 to 255 by 255"
        )


def check_image(name: str, image: Any) -> np.ndarray:
    """Check an image and return it as float32.

    Args:
        name: what the message calls the image, such as ``"content image"``.
        image: the array to check.

    Returns:
        ``(1, height, width, 3)``, float32.

    Raises:
        InputError: If the array is not ``(1, height, width, 3)``, not of a floating dtype, or has values that
            are not finite or not about in [0, 1].
    """
    check_floating(name, image)
    array = np.asarray(image, np.float32)  # on the host, where checking and resizing compile nothing
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[3] != 3 or 0 in array.shape:
        raise InputError(f"the {name} has shape {array.shape}: it must be (1, height, width, 3)")
    check_finite(name, array)
    check_range(name, array)
    return array
