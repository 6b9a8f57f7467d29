"""Style images made by code, which need no downloads."""

from collections.abc import Callable

import numpy as np

from nstjax.errors import InputError, one_of
from nstjax.paintings.canvas import Canvas
from nstjax.paintings.dots import dots
from nstjax.paintings.glass import glass
from nstjax.paintings.knife import knife
from nstjax.paintings.shards import shards
from nstjax.paintings.swirls import swirls
from nstjax.paintings.waves import waves
from nstjax.typing import Images

PAINTINGS: dict[str, Callable[[Canvas, np.random.Generator, int], np.ndarray]] = {
    "swirls": swirls,
    "waves": waves,
    "dots": dots,
    "shards": shards,
    "glass": glass,
    "knife": knife,
}
SMALLEST, LARGEST = 16, 8192  # pixels of a side


def paint(name: str, height: int = 768, width: int = 768, seed: int = 0) -> Images:
    """Return a style image made by code, the same for the same arguments.

    Args:
        name: a key of :data:`PAINTINGS`.
        height: in pixels. Strokes scale with the shorter side, so size changes the composition little.
        width: in pixels.
        seed: seed of composition, strokes and palette; at least 0.

    Returns:
        ``(1, height, width, 3)`` float32 sRGB in [0, 1].

    Raises:
        InputError: an unknown name, a side that is not within [16, 8192], or a negative seed.
    """
    one_of("name", name, tuple(PAINTINGS))
    for side, pixels in (("height", height), ("width", width)):
        if not SMALLEST <= pixels <= LARGEST:
            raise InputError(
                f"the {side} of a painting is {pixels}: it must be from {SMALLEST} to {LARGEST} pixels"
            )
    if seed < 0:
        raise InputError(f"the seed of a painting is {seed}: it must be at least 0")
    image = PAINTINGS[name](Canvas(height, width), np.random.default_rng(seed), seed)
    return image.clip(0, 1).astype(np.float32)[None]
