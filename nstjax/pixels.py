"""Checks of pixel arrays: floating point, with values in [0, 1]."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError

FARTHEST = 2.0
"""Values beyond ±2 are no pixels in [0, 1], not even with the overshoot of a sharp resampling filter."""


def check_floating(name: str, image: Any) -> None:
    """Raise :class:`InputError` unless an image's type is a floating one; works on traced arrays too.

    Integers are refused, not converted: whether they mean 0 to 255, 0 to 65535 or 0 and 1 is not known.
    """
    dtype = image.dtype if hasattr(image, "dtype") else np.asarray(image).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(
            f"the {name} has type {dtype}: it must be floating point with values in [0, 1]; divide 8-bit values by 255"
        )


def check_range(name: str, image: np.ndarray) -> None:
    """Raise :class:`InputError` where values are plainly not in [0, 1], as those of 0 to 255 are.

    Args:
        name: of the image, for the message.
        image: on the host and finite.
    """
    if image.size and (image.max() > FARTHEST or image.min() < -FARTHEST):
        raise InputError(
            f"the {name} has values from {image.min():g} to {image.max():g}: they must be in [0, 1]; divide values of "
            f"0 to 255 by 255"
        )
