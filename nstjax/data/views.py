"""Crops of decoded photographs: a resize whose result can be cached, and a random crop."""

import numpy as np
from PIL import Image

LONGEST = (
    8  # largest ratio of the sides; longer strips are cropped, because resizing them could exhaust the memory
)
_FILTER = Image.Resampling.BICUBIC  # 25 % faster than Lanczos; both antialias


def bring_to(photograph: np.ndarray, side: int) -> np.ndarray:
    """Resize a photograph so that its shorter side is ``side``, with antialiasing.

    Photographs more than ``LONGEST`` times as long as wide are first cropped to their middle.

    Args:
        photograph: ``(h, w, 3)`` uint8.
        side: shorter side of the result in pixels.

    Returns:
        ``(h', w', 3)`` uint8 with ``min(h', w') == side``.
    """
    height, width = photograph.shape[:2]
    short = min(height, width)
    top, left = max(0, height - LONGEST * short) // 2, max(0, width - LONGEST * short) // 2
    photograph = photograph[top : top + LONGEST * short, left : left + LONGEST * short]
    height, width = photograph.shape[:2]
    size = max(side, round(width * side / short)), max(side, round(height * side / short))
    if size == (width, height):
        return photograph
    return np.asarray(Image.fromarray(photograph).resize(size, _FILTER))


def draw_view(
    photograph: np.ndarray, size: int, zoom: tuple[float, float], flip: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return a random square crop of a photograph, flipped at random.

    Before it is resized to ``size``, the side of the crop is the photograph's shorter side divided by a
    factor drawn uniformly from ``zoom``. Its position is uniform over the photograph.

    Args:
        photograph: ``(h, w, 3)`` uint8, with a shorter side of ``size·zoom[1]`` up to rounding.
        size: side of the result in pixels.
        zoom: smallest and largest factor.
        flip: whether the crop is mirrored left to right with probability ½.
        rng: source of four random numbers; the other arguments do not change this count.

    Returns:
        ``(size, size, 3)`` uint8.
    """
    height, width = photograph.shape[:2]
    factor, down, right, coin = rng.random(4)
    if zoom[0] == zoom[1]:
        # At whole pixels, without a second resampling.
        top, left = int(down * (height - size + 1)), int(right * (width - size + 1))
        view = photograph[top : top + size, left : left + size]
    else:
        side = max(size, min(height, width) / (zoom[0] + factor * (zoom[1] - zoom[0])))
        top, left = down * (height - side), right * (width - side)
        box = (left, top, min(width, left + side), min(height, top + side))
        view = np.asarray(Image.fromarray(photograph).resize((size, size), _FILTER, box))
    return view[:, ::-1] if flip and coin < 0.5 else view
