"""Batch and instance normalization."""

import jax.numpy as jnp
from jax import Array, lax

EPSILON = 1e-5  # added to the variance, as in Ioffe and Szegedy's code and in all common libraries
MOMENTUM = 0.9  # running statistics: new = 0.9·old + 0.1·batch


def moments(x: Array, batch: bool, axis_name: str | None = None) -> tuple[Array, Array]:
    """Compute means and variances of the channels, in at least float32.

    The variance is ``E[(x − c)²] − (E[x] − c)²``, where ``c`` is the mean treated as a constant. The identity
    holds for every ``c``, so the derivatives are correct. Unlike ``E[x²] − E[x]²``, it does not subtract two
    large numbers: that formula gives 0 in float32 for a mean of 50 and a standard deviation of 0.01. With
    several devices, ``c`` is the mean over all of them, and the moments about ``c`` are then averaged.

    Args:
        x: ``(n, h, w, c)``.
        batch: whether the moments are taken over the whole batch, or over each image.
        axis_name: name of the mapped axis of devices over which the batch is divided; used only if ``batch``.

    Returns:
        Means and variances, each ``(1, 1, 1, c)`` for the batch or ``(n, 1, 1, c)`` for images.
    """
    axes = (0, 1, 2) if batch else (1, 2)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    spread = batch and axis_name is not None
    mean = jnp.mean(x, axes, keepdims=True)
    if spread:
        mean = lax.pmean(mean, axis_name)
    shift = lax.stop_gradient(mean)
    # Used once, so that XLA fuses it into the reduction: a copy of a large image's activations is gigabytes.
    square = jnp.mean(jnp.square(x - shift), axes, keepdims=True)
    if spread:
        square = lax.pmean(square, axis_name)
    return mean, jnp.maximum(square - jnp.square(mean - shift), 0)


def apply_norm(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Array:
    """Compute ``(x − mean) / √(variance + ε) · scale + bias``.

    Args:
        x: ``(n, h, w, c)``.
        mean: means that broadcast to ``x``, from :func:`moments` or running statistics.
        variance: variances of the same shape.
        scale: ``(c,)``, or ``(n, 1, 1, c)`` for a style of each image.
        bias: like ``scale``.

    Returns:
        An array like ``x``, computed in at least float32 and converted to the dtype of ``x``.
    """
    # In this form, the gradient takes one reduction and one elementwise pass over the image.
    factor = lax.rsqrt(variance + EPSILON) * scale
    return (x.astype(factor.dtype) * factor + (bias - mean * factor)).astype(x.dtype)
