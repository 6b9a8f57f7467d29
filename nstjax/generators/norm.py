"""Batch and instance normalisation."""

import jax.numpy as jnp
from jax import Array, lax

EPSILON = 1e-5  # on the variance, as Ioffe and Szegedy's code and every library
MOMENTUM = 0.9  # of the running statistics: new = 0.9·old + 0.1·batch


def moments(x: Array, batch: bool, axis_name: str | None = None) -> tuple[Array, Array]:
    """Means and variances of the channels, in float32.

    Args:
        x: ``(n, h, w, c)``.
        batch: over the whole batch, ``(1, 1, 1, c)``; else of each image, ``(n, 1, 1, c)``.
        axis_name: of the mapped axis over which a batch is spread.
    """
    axes = (0, 1, 2) if batch else (1, 2)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean, square = jnp.mean(x, axes, keepdims=True), jnp.mean(x * x, axes, keepdims=True)
    if batch and axis_name is not None:
        mean, square = lax.pmean((mean, square), axis_name)
    return mean, jnp.maximum(square - mean * mean, 0)


def normalise(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Array:
    """``(x − mean) / √(variance + ε) · scale + bias``, in at least float32, given back in the type of ``x``."""
    # So written, its gradient is one sum over and one pass of the picture.
    factor = lax.rsqrt(variance + EPSILON) * scale
    return (x.astype(factor.dtype) * factor + (bias - mean * factor)).astype(x.dtype)
