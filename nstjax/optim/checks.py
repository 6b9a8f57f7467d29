"""Checks of fields that several optimizers have."""

import math

from nstjax.errors import InputError

MOST_PAIRS = 1000  # curvature pairs of L-BFGS: each takes the memory of two images, and more do not help


def check_history_size(size: int) -> None:
    """Raise :class:`InputError` unless the number of curvature pairs is between 1 and 1000."""
    if not 1 <= size <= MOST_PAIRS:
        raise InputError(f"`history_size` is {size}: it must be between 1 and {MOST_PAIRS}")


def check_bounds(bounds: tuple[float, float] | None) -> None:
    """Raise :class:`InputError` unless the bounds are finite and the lower one is less than the upper one."""
    if bounds is not None and not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise InputError(
            f"`bounds` is {bounds[0]} {bounds[1]}: both must be finite, and the first less than the second"
        )
