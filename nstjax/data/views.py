"""Crops of decoded photographs: a resize that can be cached, and a random crop."""

import numpy as np
from PIL import Image

LONGEST = (
    8  # times the short side; of a longer strip the middle is taken, since resizing it could fill memory
)
_FILTER = Image.Resampling.BICUBIC  # a quarter faster than Lanczos; both antialias


def bring_to(photograph: np.ndarray, side: int) -> np.ndarray:
    """Resize so that the short side is ``side``, shrinking (antialiased) or enlarging.

    Args:
        photograph: ``(h, w, 3)`` uint8.
        side: pixels.

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
    """A random square of a photograph, perhaps mirrored.

    The side of the square, before it is brought to ``size``, is the photograph's short side over a factor
    drawn uniformly from ``zoom``; its place is uniform over the photograph.

    Args:
        photograph: ``(h, w, 3)`` uint8, of short side ``size·zoom[1]`` to a rounding.
        size: side of the result.
        zoom: least and greatest factor.
        flip: mirror it with probability ½.
        rng: gives four numbers, whatever the other arguments are.

    Returns:
        ``(size, size, 3)`` uint8.
    """
    height, width = photograph.shape[:2]
    factor, down, right, coin = rng.random(4)
    if zoom[0] == zoom[1]:
        # Whole pixels: no second resampling.
        top, left = int(down * (height - size + 1)), int(right * (width - size + 1))
        view = photograph[top : top + size, left : left + size]
    else:
        side = max(size, min(height, width) / (zoom[0] + factor * (zoom[1] - zoom[0])))
        top, left = down * (height - side), right * (width - side)
        box = (left, top, min(width, left + side), min(height, top + side))
        view = np.asarray(Image.fromarray(photograph).resize((size, size), _FILTER, box))
    return view[:, ::-1] if flip and coin < 0.5 else view
