"""Animated GIFs: their frames one at a time, with how long each is shown and how often all are."""

import dataclasses
import io
import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.files import write_atomically
from nstjax.images.encode import to_integers
from nstjax.images.io import flatten
from nstjax.images.opening import open_file, open_image

LONGEST_MS = 655_350  # a GIF counts hundredths of a second in 16 bits


@dataclasses.dataclass(frozen=True)
class Gif:
    """An animation on disk.

    Attributes:
        path: the file.
        size: height and width, in pixels.
        milliseconds: how long each frame is shown.
        loop: how often the frames are repeated, 0 for ever; ``None``: shown once.
    """

    path: Path
    size: tuple[int, int]
    milliseconds: tuple[int, ...]
    loop: int | None

    def frames(self) -> Iterator[np.ndarray]:
        """The frames in order, each ``(1, h, w, 3)`` float32 in [0, 1], as they are shown, over white."""
        for image in _frames(self.path):
            yield np.ascontiguousarray(flatten(image)[None])


def _frames(path: Path) -> Iterator[Image.Image]:
    """Pillow's frames, each complete; damage becomes one sentence."""
    with warnings.catch_warnings(), open_file(path, str(path)) as (stream, kind):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if kind != "GIF":
            raise InputError(f"{path} is not a GIF but a {kind}: name it by what it is")
        image = open_image(stream, kind, str(path))
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.copy()


def open_gif(path: str | Path) -> Gif:
    """Look at a GIF, and decode it once, so that damage is told before work begins.

    Raises:
        InputError: it is missing, damaged, or no GIF.
    """
    path = Path(path)
    size, milliseconds, loop = (0, 0), [], None
    for image in _frames(path):
        size = (image.height, image.width)
        milliseconds.append(int(image.info.get("duration", 0)))
        loop = image.info.get("loop", loop)
    return Gif(path, size, tuple(milliseconds), loop)


def encode_gif(frames: Iterable[np.ndarray], milliseconds: Iterable[int], loop: int | None = 0) -> bytes:
    """Encode an animation.

    A frame equal to the one before it becomes a longer one: the animation looks the same.

    Args:
        frames: each ``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1], all of one size; taken one at a time.
        milliseconds: how long each is shown.
        loop: see :class:`Gif`.

    Returns:
        The content of the file.

    Raises:
        InputError: equal frames stand for longer than a GIF can say.
    """
    images = (Image.fromarray(to_integers(frame)) for frame in frames)
    durations = [min(max(0, duration), LONGEST_MS) for duration in milliseconds]
    options = {} if loop is None else {"loop": loop}
    buffer = io.BytesIO()
    try:
        next(images).save(
            buffer, "GIF", save_all=True, append_images=images, duration=durations, disposal=1, **options
        )
    except struct.error as error:  # equal frames joined beyond LONGEST_MS
        raise InputError("a GIF cannot stand still for over 11 minutes: make a video of it") from error
    return buffer.getvalue()


def write_gif(
    path: str | Path, frames: Iterable[np.ndarray], milliseconds: Iterable[int], loop: int | None = 0
) -> None:
    """Write an animation, whole or not at all.

    Args:
        path: ends in ``.gif``.
        frames: see :func:`encode_gif`.
        milliseconds: likewise.
        loop: likewise.

    Raises:
        InputError: the path does not end in ``.gif``, or see :func:`encode_gif`.
        OutputError: it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise InputError(f"the animation {path} must end in .gif")
    write_atomically(path, encode_gif(frames, milliseconds, loop))
