"""Batch and instance normalization."""

import jax.numpy as jnp
from jax import Array, lax

EPSILON = 1e-5  # on the variance, as Ioffe and Szegedy's code and every library
MOMENTUM = 0.9  # of the running statistics: new = 0.9·old + 0.1·batch


def moments(x: Array, batch: bool, axis_name: str | None = None) -> tuple[Array, Array]:
    """Means and variances of the channels, in float32.

    The variance is ``E[(x − c)²] − (E[x] − c)²`` with the mean as a constant ``c``. This identity holds for every ``c``,
    so that its derivatives are right; and no two large numbers are subtracted, as they are in ``E[x²] − E[x]²``, which
    is 0 in float32 for a mean of 50 and a deviation of 0.01. Devices take the mean of all of them as ``c``, and then
    average moments about it.

    Args:
        x: ``(n, h, w, c)``.
        batch: over the whole batch, ``(1, 1, 1, c)``; else of each image, ``(n, 1, 1, c)``.
        axis_name: of the mapped axis over which a batch is spread.
    """
    axes = (0, 1, 2) if batch else (1, 2)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    spread = batch and axis_name is not None
    mean = jnp.mean(x, axes, keepdims=True)
    if spread:
        mean = lax.pmean(mean, axis_name)
    shift = lax.stop_gradient(mean)
    # Used once, so that XLA makes it inside the reduction: a copy of a large picture's activations takes gigabytes.
    square = jnp.mean(jnp.square(x - shift), axes, keepdims=True)
    if spread:
        square = lax.pmean(square, axis_name)
    return mean, jnp.maximum(square - jnp.square(mean - shift), 0)


def normalise(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Array:
    """``(x − mean) / √(variance + ε) · scale + bias``, in at least float32, given back in the type of ``x``."""
    # So written, its gradient is one sum over and one pass of the picture.
    factor = lax.rsqrt(variance + EPSILON) * scale
    return (x.astype(factor.dtype) * factor + (bias - mean * factor)).astype(x.dtype)
