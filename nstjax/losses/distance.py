"""Elementwise distances used by the content, style and total variation losses."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from nstjax.errors import one_of

DISTANCES = ("squared", "absolute")


def distance(difference: Array, kind: str) -> Array:
    """Compute ``d²`` or ``|d|`` of each element.

    The gradient of ``|d|`` is ``sign(d)``, and 0 where ``d = 0``: it is finite everywhere, and elements that
    already agree get no gradient. JAX's own derivative of ``abs`` at 0 is 1, which would give every flat
    region a gradient.

    Args:
        difference: an array of any shape.
        kind: ``"squared"`` or ``"absolute"``.

    Returns:
        An array of the same shape.

    Raises:
        InputError: If ``kind`` is neither ``"squared"`` nor ``"absolute"``.
    """
    one_of("kind", kind, DISTANCES)
    if kind == "squared":
        return jnp.square(difference)
    return jnp.sign(lax.stop_gradient(difference)) * difference


def relative(loss: Array, size: Array) -> Array:
    """Return ``loss / size``, or ``loss`` if the size is 0.

    The size is 0 for a layer without activations or a black image, for example.
    """
    return loss / jnp.where(size > 0, size, 1.0)
