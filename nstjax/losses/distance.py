"""Elementwise distances shared by content, style and total variation losses."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from nstjax.errors import one_of

DISTANCES = ("squared", "absolute")


def distance(difference: Array, kind: str) -> Array:
    """``d²`` or ``|d|`` of each element.

    The gradient of ``|d|`` is ``sign(d)``, 0 where ``d = 0``: finite everywhere, and no force on what
    already agrees. (JAX's own derivative of ``abs`` at 0 is 1, which would tilt every flat region.)

    Raises:
        InputError: ``kind`` is neither ``"squared"`` nor ``"absolute"``.
    """
    one_of("kind", kind, DISTANCES)
    if kind == "squared":
        return jnp.square(difference)
    return jnp.sign(lax.stop_gradient(difference)) * difference


def relative(loss: Array, size: Array) -> Array:
    """``loss / size``; the loss itself where the size is 0, as of a dead layer or a black picture."""
    return loss / jnp.where(size > 0, size, 1.0)
