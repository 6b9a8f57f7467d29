"""The elementwise distance that content, style and total variation share."""

import jax.numpy as jnp
from jaxtyping import Array

from nstjax.errors import one_of

DISTANCES = ("squared", "absolute")


def distance(difference: Array, kind: str) -> Array:
    """``d²`` or ``|d|`` of each element.

    The gradient of ``|d|`` is ``sign(d)``, 0 where ``d = 0``, so it is finite everywhere.

    Raises:
        InputError: ``kind`` is neither ``"squared"`` nor ``"absolute"``.
    """
    one_of("distance", kind, DISTANCES)
    return jnp.square(difference) if kind == "squared" else jnp.abs(difference)
