"""Synthetic images for tests and benchmarks. They are the same on every machine."""

import numpy as np
from PIL import Image

from nstjax.errors import InputError

DEFAULT_COUNT = 64


class Fake:
    """A :class:`~nstjax.data.source.Source` of synthetic images: smooth color fields with fine noise.

    Args:
        spec: ``"fake"`` for ``DEFAULT_COUNT`` images, or ``"fake:COUNT"``.

    Raises:
        InputError: If the count is not a positive integer.
    """

    def __init__(self, spec: str = "fake"):
        count = spec.partition(":")[2] if ":" in spec else str(DEFAULT_COUNT)
        if not count.isdecimal() or int(count) < 1:
            raise InputError(
                f"`data.source` {spec}: write the number of pictures after the colon, as in fake:64"
            )
        self.place = f"`data.source` {spec}"
        self._count = int(count)

    def __len__(self) -> int:
        return self._count

    def name(self, record: int) -> str:
        """Return the name of an image, such as ``fake/7``."""
        return f"fake/{record}"

    def identity(self) -> str:
        """Return a string with the number of images, which is all that distinguishes two sources."""
        return f"fake:{self._count}"

    def decode(self, record: int, at_least: int) -> np.ndarray:
        """Return an image, 320×240 or, for every third one, 240×320.

        See :meth:`nstjax.data.source.Source.decode`; ``at_least`` is not used.
        """
        rng = np.random.default_rng(record)
        width, height = (240, 320) if record % 3 == 2 else (320, 240)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        field = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-8, 9, (height, width, 1), np.int16)
        return (field + grain).clip(0, 255).astype(np.uint8)
