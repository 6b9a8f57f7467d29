"""Measures of what the thesis shows as images; pure functions of images and networks."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from experiments.common import luminance

PERIOD = 4  # pixels: the weights of the two upsampling layers repeat every four and every two pixels
Paint = Callable[[np.ndarray], np.ndarray]


def checkerboard_ratio(image: np.ndarray, period: int = PERIOD) -> float:
    """Measure how much the spectrum of an image stands out at the frequencies of the strides.

    The measure compares the power of the luminance, under a Hann window, at the frequencies (i/period, j/period)
    per pixel except (0, 0), each averaged over 3×3 bins, with the power of the surrounding bins (4 to 8 bins away
    in at least one direction). The result is the mean of the ratios: about 1 without a pattern. Larger
    images resolve weaker patterns, so compare only images of equal size.

    Args:
        image: ``(1, h, w, 3)``, at least 64 pixels per side.
        period: period of the pattern in pixels.
    """
    height, width = (side // period * period for side in image.shape[1:3])
    light = luminance(image)[:height, :width].astype(np.float64)
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((light - light.mean()) * window)) ** 2
    offsets = np.arange(-8, 9)
    distance = np.maximum(*np.abs(np.meshgrid(offsets, offsets)))
    ratios = []
    for i in range(period):
        for j in range(period):
            if i or j:
                rows, columns = (np.arange(period)[k] * n // period for k, n in ((i, height), (j, width)))
                patch = power[np.ix_((rows + offsets) % height, (columns + offsets) % width)]
                ratios.append(patch[distance <= 1].mean() / (patch[distance >= 4].mean() + 1e-12))
    return float(np.mean(ratios))


def checkerboard_amplitude(image: np.ndarray) -> float:
    """Return the root mean square, in 8-bit levels, of the part of the luminance with a period of 4 pixels.

    The image is averaged over all cells of 4×4 pixels, so that its content averages out.

    Args:
        image: ``(1, h, w, 3)``.
    """
    light = luminance(image).astype(np.float64)
    # Subtract the mean over 4×4 pixels, which has no pattern; otherwise slopes would look like one.
    detail = (light - ndimage.uniform_filter(light, PERIOD))[PERIOD:-PERIOD, PERIOD:-PERIOD]
    height, width = (side // PERIOD * PERIOD for side in detail.shape)
    cells = detail[:height, :width].reshape(height // PERIOD, PERIOD, width // PERIOD, PERIOD)
    return float(255 * cells.mean((0, 2)).std())


def with_contrast(photo: np.ndarray, factor: float) -> np.ndarray:
    """Multiply a photograph's distances from its mean color by a factor."""
    mean = photo.mean((1, 2), keepdims=True)
    return np.asarray(mean + factor * (photo - mean), np.float32)


def rms(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square difference of two images in [0, 1], in 8-bit levels."""
    return float(255 * np.sqrt(np.square(a.astype(np.float64) - b).mean()))


def border_error(paint: Paint, photo: np.ndarray, margin: int, strip: int = 16) -> tuple[float, float]:
    """Measure the effect of an image border: a part stylized alone against the same part of the whole.

    Args:
        paint: a network, as a function of a photograph.
        photo: the whole photograph, ``(1, h, w, 3)``.
        margin: width in pixels of the margin around the part, a multiple of 4.
        strip: width in pixels of the outermost strip of the part.

    Returns:
        The root mean square difference in that strip, and in the inner quarter of the part (half of its
        height and width), in 8-bit levels. The second is not an effect of the border: the statistics of the
        part differ from those of the whole.
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
    """Stylize the four quarters of a photograph separately, and join the results."""
    middle = tuple(side // 8 * 4 for side in photo.shape[1:3])
    rows = np.split(photo, [middle[0]], axis=1)
    return np.concatenate(
        [np.concatenate([paint(x) for x in np.split(row, [middle[1]], axis=2)], 2) for row in rows], 1
    )


def seam(image: np.ndarray, whole: np.ndarray) -> float:
    """Return the step across the middle lines, relative to that of ``whole``: 1 without a seam."""

    def step(x: np.ndarray) -> float:
        row, column = (side // 8 * 4 for side in x.shape[1:3])
        light = luminance(x)
        down = np.abs(light[row] - light[row - 1]).mean()
        return float(down + np.abs(light[:, column] - light[:, column - 1]).mean())

    return step(image) / step(whole)
