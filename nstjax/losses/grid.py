"""Grids: patterns of a generator's result that repeat with the period of its strides."""

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.pixels import LUMA, check_floating
from nstjax.typing import Array, Images, Scalar

CELLS = 6  # periods in a side of a window; with fewer, irregular texture looks more like a grid
_LEAST = 1e-7  # an amplitude of 0.08 levels of 255; added under the root, whose gradient at 0 is infinite


def periodic_energy(images: Images, period: int, cells: int = CELLS) -> Array:
    """Estimate the mean square of the part of the luminance that repeats with a period, in each window.

    The luminance, less its mean over one period around each pixel, is divided into windows of ``cells × cells`` cells of
    ``period × period`` pixels. For ``m = cells²`` values ``d_i`` at the same place in the cells of a window, the estimate is
    the mean of ``d_i d_j`` over all pairs ``i ≠ j``. Its expectation is the square of the repeated value; it is about 0
    for irregular texture, whatever its contrast. It can be negative.

    Args:
        images: ``(n, h, w, 3)`` in [0, 1].
        period: period in pixels, 2 or more. Patterns whose period divides it are included.
        cells: largest number of periods in a side of a window.

    Returns:
        ``(n, a, b)``: the mean over the ``period²`` places, for ``a × b`` windows. Pixels at the lower and right border
        that fill no window are not used.

    Raises:
        InputError: If a side of the images is shorter than two periods, or the pixels are integers.
    """
    images = jnp.asarray(images)
    check_floating("image", images)
    images = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    n, height, width, _ = images.shape
    cells = min(cells, height // period, width // period)
    if period < 2 or cells < 2:
        raise InputError(
            f"a period of {period} pixels cannot be measured in images of {width}×{height} pixels: "
            f"it must be at least 2, and each side at least two periods"
        )
    light = images @ jnp.asarray(LUMA, images.dtype)
    before = period // 2
    around = ((0, 0), (before, period - 1 - before), (before, period - 1 - before))
    sums = jax.lax.reduce_window(
        jnp.pad(light, around, mode="edge"), 0.0, jax.lax.add, (1, period, period), (1, 1, 1), "VALID"
    )
    detail = light - sums / period**2
    side = cells * period
    rows, columns = height // side, width // side
    detail = detail[:, : rows * side, : columns * side]
    detail = detail.reshape(n, rows, cells, period, columns, cells, period)
    count = cells**2
    pairs = detail.sum((2, 5)) ** 2 - (detail**2).sum((2, 5))
    return pairs.mean((2, 4)) / (count * (count - 1))


def grid_loss(images: Images, period: int, cells: int = CELLS) -> Scalar:
    """Compute the mean amplitude of grids: the root of :func:`periodic_energy`, averaged over windows and images.

    Upsampling leaves patterns with the period of the strides in flat areas (Odena et al., "Deconvolution and Checkerboard
    Artifacts", Distill 2016). The style loss does not penalize them, because it has no positions. This loss does, and
    leaves irregular strokes as they are.

    Args:
        images: ``(n, h, w, 3)`` in [0, 1].
        period: period in pixels: the product of a generator's strides.
        cells: as for :func:`periodic_energy`.

    Returns:
        A scalar in units of the luminance; 0 for constant images.

    Raises:
        InputError: As for :func:`periodic_energy`.
    """
    energy = jax.nn.relu(periodic_energy(images, period, cells))
    return jnp.mean(jnp.sqrt(energy + _LEAST)) - _LEAST**0.5
