"""Numbers for what the thesis shows in pictures: pure functions of images and networks."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from experiments.common import luminance

PERIOD = 4  # pixels: two layers that double the size repeat their weights every two and every four
Paint = Callable[[np.ndarray], np.ndarray]


def checkerboard_ratio(image: np.ndarray) -> float:
    """How much a spectrum stands out at the frequencies of the strides.

    Power of the luminance under a Hann window, at the 15 frequencies (i/4, j/4) a pixel but (0, 0), each 3×3 bins,
    over the power of the bins around (4 to 8 bins off in one direction or both); the mean of the 15 ratios.
    1 where there is no pattern; larger pictures resolve smaller patterns, so compare equal sizes.

    Args:
        image: ``(1, h, w, 3)``, 64 pixels and more.
    """
    height, width = (side // PERIOD * PERIOD for side in image.shape[1:3])
    light = luminance(image)[:height, :width].astype(np.float64)
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((light - light.mean()) * window)) ** 2
    offsets = np.arange(-8, 9)
    distance = np.maximum(*np.abs(np.meshgrid(offsets, offsets)))
    ratios = []
    for i in range(PERIOD):
        for j in range(PERIOD):
            if i or j:
                rows, columns = (np.arange(PERIOD)[k] * n // PERIOD for k, n in ((i, height), (j, width)))
                patch = power[np.ix_((rows + offsets) % height, (columns + offsets) % width)]
                ratios.append(patch[distance <= 1].mean() / (patch[distance >= 4].mean() + 1e-12))
    return float(np.mean(ratios))


def checkerboard_amplitude(image: np.ndarray) -> float:
    """Root mean square of the part of the luminance that repeats every four pixels, in 8-bit steps.

    The picture is averaged over all cells of 4×4 pixels; what a photograph shows averages out.

    Args:
        image: ``(1, h, w, 3)``.
    """
    light = luminance(image).astype(np.float64)
    # Less the mean of the 4×4 pixels around, in which there is no pattern: else slopes would look like one.
    detail = (light - ndimage.uniform_filter(light, PERIOD))[PERIOD:-PERIOD, PERIOD:-PERIOD]
    height, width = (side // PERIOD * PERIOD for side in detail.shape)
    cells = detail[:height, :width].reshape(height // PERIOD, PERIOD, width // PERIOD, PERIOD)
    return float(255 * cells.mean((0, 2)).std())


def with_contrast(photo: np.ndarray, factor: float) -> np.ndarray:
    """A photograph whose distances from its mean colour are multiplied."""
    mean = photo.mean((1, 2), keepdims=True)
    return np.asarray(mean + factor * (photo - mean), np.float32)


def rms(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference, in 8-bit steps."""
    return float(255 * np.sqrt(np.square(a.astype(np.float64) - b).mean()))


def border_error(paint: Paint, photo: np.ndarray, margin: int, strip: int = 16) -> tuple[float, float]:
    """What a border does: a part of a photograph painted alone against the same pixels painted within the whole.

    Args:
        paint: a network.
        photo: ``(1, h, w, 3)``.
        margin: of the whole around the part, in pixels; a multiple of 4.
        strip: width of the part's outermost strip.

    Returns:
        The root mean square difference in that strip, and in the part's inner quarter (half of its height and
        width), in 8-bit steps. The second is not of the border: statistics of the part are not those of the whole.
    """
    inside = (slice(None), slice(margin, -margin), slice(margin, -margin))
    part = photo[inside]
    square = np.square(255 * (paint(part).astype(np.float64) - paint(photo)[inside])).mean((0, 3))
    height, width = square.shape
    outer = np.ones_like(square, bool)
    outer[strip:-strip, strip:-strip] = False
    inner = square[height // 4 : -(height // 4), width // 4 : -(width // 4)]
    return float(np.sqrt(square[outer].mean())), float(np.sqrt(inner.mean()))


def painted_in_quarters(paint: Paint, photo: np.ndarray) -> np.ndarray:
    """A photograph cut in four, each painted by itself, put together again."""
    middle = tuple(side // 8 * 4 for side in photo.shape[1:3])
    rows = np.split(photo, [middle[0]], axis=1)
    return np.concatenate(
        [np.concatenate([paint(x) for x in np.split(row, [middle[1]], axis=2)], 2) for row in rows], 1
    )


def seam(image: np.ndarray, whole: np.ndarray) -> float:
    """The step across the middle lines, over that of another picture at the same place: 1 where no seam is."""

    def step(x: np.ndarray) -> float:
        row, column = (side // 8 * 4 for side in x.shape[1:3])
        light = luminance(x)
        down = np.abs(light[row] - light[row - 1]).mean()
        return float(down + np.abs(light[:, column] - light[:, column - 1]).mean())

    return step(image) / step(whole)
