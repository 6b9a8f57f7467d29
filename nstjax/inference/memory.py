"""Estimates the memory of a pass of a generator, and checks that it is available."""

from nstjax.errors import InputError
from nstjax.free_memory import device_bytes, host_bytes
from nstjax.generators.plan import GeneratorPlan
from nstjax.images.opening import MAX_PIXELS
from nstjax.inference.banded import KEPT_BYTES
from nstjax.inference.photograph import WHOLE_PIXELS, rows_for

# Fitted to peaks of whole processes on a CPU.
_BASE = 0.5 * 2**30  # libraries, programs, small pictures
OF_ARRAYS = 2.0  # times the arrays that the steps of a whole picture need at once: XLA holds more
_PICTURES = 12  # values a pixel: photograph, result and what encoding makes of it


def generator_bytes(plan: GeneratorPlan, height: int, width: int, tile: int | None = None) -> float:
    """Return about how many bytes a pass takes at its peak: of the process on a CPU, else of the device.

    Args:
        plan: of the generator.
        height: of the picture, in pixels.
        width: likewise.
        tile: rows of a band, 0 for one piece, None for :func:`~nstjax.inference.photograph.rows_for`.
    """
    pixels = height * width
    tile = rows_for(height, width) if tile is None else tile
    if tile == 0:
        return _BASE + 4 * pixels * (OF_ARRAYS * plan.values_per_pixel() + _PICTURES)
    kept = plan.values_per_pixel(largest=KEPT_BYTES / 4 / pixels)  # larger arrays are computed again
    band = OF_ARRAYS * plan.values_per_pixel() * min(pixels, WHOLE_PIXELS // 4, 2 * tile * width)
    return _BASE + 4 * (pixels * (kept + _PICTURES) + band)


def check_generator_memory(
    plan: GeneratorPlan, height: int, width: int, tile: int | None, name: str, advice: str
) -> None:
    """Refuse a picture that will not fit.

    Args:
        plan: of the generator.
        height: of the picture, in pixels.
        width: likewise.
        tile: as for :func:`generator_bytes`.
        name: what the message calls the picture: a field in backticks, or a file.
        advice: what to try instead.

    Raises:
        InputError: it says how much is needed, how much there is, and what would fit.
    """
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{name}: a picture of {width}×{height} pixels has more than {MAX_PIXELS:,}: choose a smaller `size`"
        )
    in_bands = tile != 0 and (tile is not None or rows_for(height, width) != 0)
    there = host_bytes() if in_bands else device_bytes()
    needed = generator_bytes(plan, height, width, tile)
    if needed > there:
        raise InputError(
            f"{name}: a picture of {width}×{height} pixels needs about {needed / 2**30:.1f} GiB, and "
            f"{there / 2**30:.1f} GiB are free: try {advice}"
        )
