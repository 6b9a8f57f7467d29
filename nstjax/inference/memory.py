"""Estimates the memory that a generator needs, and checks that it is available."""

from nstjax.errors import InputError
from nstjax.free_memory import device_bytes, host_bytes
from nstjax.generators.plan import GeneratorPlan
from nstjax.images.opening import MAX_PIXELS
from nstjax.inference.banded import KEPT_BYTES
from nstjax.inference.photograph import WHOLE_PIXELS, rows_for

# Fitted to the peak memory of whole processes on a CPU.
_BASE = 0.5 * 2**30  # libraries, programs, small images
OF_ARRAYS = 2.0  # ratio of XLA's memory to the arrays that the steps of a whole image need at once
_PICTURES = 12  # values per pixel for the photograph, the result and its encoding


def generator_bytes(plan: GeneratorPlan, height: int, width: int, tile: int | None = None) -> float:
    """Estimate the peak memory of one forward pass of a generator.

    Args:
        plan: the generator's plan.
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        tile: rows of a band; 0 for the whole image at once; None for
            :func:`~nstjax.inference.photograph.rows_for`.

    Returns:
        Bytes: of the host's memory if the image is computed in bands or on a CPU, else of the device's memory.
    """
    pixels = height * width
    tile = rows_for(height, width) if tile is None else tile
    if tile == 0:
        return _BASE + 4 * pixels * (OF_ARRAYS * plan.values_per_pixel() + _PICTURES)
    kept = plan.values_per_pixel(largest=KEPT_BYTES / 4 / pixels)  # larger arrays are recomputed
    band = OF_ARRAYS * plan.values_per_pixel() * min(pixels, WHOLE_PIXELS // 4, 2 * tile * width)
    return _BASE + 4 * (pixels * (kept + _PICTURES) + band)


def check_generator_memory(
    plan: GeneratorPlan, height: int, width: int, tile: int | None, name: str, advice: str
) -> None:
    """Check that an image has an allowed number of pixels and fits into memory.

    Args:
        plan: the generator's plan.
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        tile: see :func:`generator_bytes`.
        name: what the message calls the image: a field in backticks, or a file.
        advice: what the message suggests to try.

    Raises:
        InputError: If it does not. The message says how much memory is needed, how much is free, and what to try.
    """
    in_bands = tile != 0 and (tile is not None or rows_for(height, width) != 0)
    there = host_bytes() if in_bands else device_bytes()
    check_pass_memory(generator_bytes(plan, height, width, tile), there, height, width, name, advice)


def check_pass_memory(needed: float, there: float, height: int, width: int, name: str, advice: str) -> None:
    """Check that an image has an allowed number of pixels, and that one pass of a network fits into memory.

    Args:
        needed: bytes that the pass needs.
        there: bytes that are free.
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        name: what the message calls the image: a field in backticks, or a file.
        advice: what the message suggests to try.

    Raises:
        InputError: As for :func:`check_generator_memory`.
    """
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{name}: a picture of {width}×{height} pixels has more than {MAX_PIXELS:,}: choose a smaller `size`"
        )
    if needed > there:
        raise InputError(
            f"{name}: a picture of {width}×{height} pixels needs about {needed / 2**30:.1f} GiB, and "
            f"{there / 2**30:.1f} GiB are free: try {advice}"
        )
