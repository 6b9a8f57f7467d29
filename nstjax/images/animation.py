"""Animations (GIF, WebP, APNG): reads and writes frames, their durations, and the number of repetitions."""

import dataclasses
import io
import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nstjax.errors import InputError, InputWarning
from nstjax.images.encode import frames_of_one_size
from nstjax.images.io import flatten
from nstjax.images.opening import frame_count, open_file, open_image

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
_KINDS = {".gif": "GIF", ".webp": "WebP", ".png": "PNG", ".apng": "PNG"}
_TICKS = 2**16 - 1  # durations have 16 bits: hundredths of a second in GIF, milliseconds in APNG
LONGEST_MS = {"GIF": 10 * _TICKS, "PNG": _TICKS, "WebP": 2**24 - 1}


@dataclasses.dataclass(frozen=True)
class Animation:
    """An animation file.

    Attributes:
        path: the file.
        size: height and width, in pixels.
        milliseconds: duration of each frame.
        loop: how often the frames are repeated after they were shown once; 0 repeats them forever, None never.
    """

    path: Path
    size: tuple[int, int]
    milliseconds: tuple[int, ...]
    loop: int | None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames in order, as they are shown: ``(1, h, w, 3)`` float32 in [0, 1], composited over white.

        Raises:
            InputError: If the file is missing or damaged.
        """
        for image, _ in _frames(self.path):
            yield np.ascontiguousarray(flatten(image)[None])


def _frames(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """Yield Pillow's frames, each complete, and the file's format.

    Raises:
        InputError: If the file is missing, damaged, or not a GIF, WebP or PNG; or if it is named .gif and is not a GIF.
    """
    with warnings.catch_warnings(), open_file(path, str(path)) as (stream, kind):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if kind not in LONGEST_MS or (path.suffix.lower() == ".gif" and kind != "GIF"):
            raise InputError(f"{path} is not a GIF but a {kind}: correct its suffix")
        image = open_image(stream, kind, str(path))
        # An APNG may begin with a picture for programs that do not support animations.
        first = int(getattr(image, "default_image", False))
        for number in range(first, getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.copy(), kind


def _is_transparent(image: Image.Image) -> bool:
    """Return True if an image has a pixel that is not opaque."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip at 255; one value is transparent
        return bool((np.asarray(image) == image.info["transparency"]).any())
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def is_animation(path: Path) -> bool:
    """Return True if a file is a GIF, WebP or APNG with several frames; False if it is not, or cannot be read."""
    try:
        with open_file(path, str(path)) as (stream, kind):
            return kind in LONGEST_MS and frame_count(open_image(stream, kind, str(path)), kind) > 1
    except InputError:
        return False


def open_animation(path: str | Path) -> Animation:
    """Read the properties of an animation. All frames are decoded, so that damage is reported before work begins.

    An :class:`InputWarning` tells if the animation has transparent pixels.

    Args:
        path: the file.

    Raises:
        InputError: If the file is missing, damaged, or not a GIF, WebP or PNG; or if it is named .gif and is not a GIF.
    """
    path = Path(path)
    size, milliseconds, loop, clear = (0, 0), [], None, False
    for image, kind in _frames(path):
        size = (image.height, image.width)
        milliseconds.append(round(image.info.get("duration", 0)))
        clear = clear or _is_transparent(image)
        if kind == "GIF":
            loop = image.info.get("loop", loop)
        else:  # WebP and APNG store how often the frames are shown, GIF how often they are repeated
            shown = int(image.info.get("loop", 1))
            loop = None if shown == 1 else max(0, shown - 1)
    if clear:
        warnings.warn(
            f"{path} has transparent pixels, which are shown over white", InputWarning, stacklevel=2
        )
    return Animation(path, size, tuple(milliseconds), loop)


def encode_animation(
    path: str | Path,
    frames: Iterable[np.ndarray],
    milliseconds: Iterable[int],
    loop: int | None = 0,
    quality: int = 95,
) -> bytes:
    """Encode an animation in the format of a file's suffix.

    Consecutive equal frames are stored as one longer frame, which looks the same.

    Args:
        path: the file name, which selects the format; it must end in one of :data:`ANIMATION_SUFFIXES`.
        frames: one or more frames of the same size, each ``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1]. They are taken
            one at a time, and all are kept in memory with 8 bits per channel.
        milliseconds: duration of each frame; clamped to what the format can store, see :data:`LONGEST_MS`.
        loop: number of repetitions, see :class:`Animation`.
        quality: quality of WebP, 1 to 100.

    Returns:
        The content of the file.

    Raises:
        InputError: If the path has another suffix, the format cannot hold the animation, or for the reasons of
            :func:`~nstjax.images.encode.frames_of_one_size`.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"the animation {path} must end in one of {', '.join(ANIMATION_SUFFIXES)}")
    images = frames_of_one_size(path, frames)
    options: dict[str, Any] = {
        "duration": [min(max(0, duration), LONGEST_MS[kind]) for duration in milliseconds]
    }
    if kind == "GIF":
        options |= {"disposal": 1} if loop is None else {"disposal": 1, "loop": loop}
    else:
        options["loop"] = 1 if loop is None else loop + 1 if loop else 0
    if kind == "WebP":
        options["quality"] = quality
    buffer, first = io.BytesIO(), next(images)
    rest = images if kind == "GIF" else list(images)  # for other formats Pillow iterates several times
    try:
        first.save(buffer, kind.upper(), save_all=True, append_images=rest, **options)
    except struct.error as error:  # joined equal frames are longer than LONGEST_MS
        minutes = LONGEST_MS[kind] / 60_000
        raise InputError(
            f"cannot write {path}: a frame of this format can last at most {minutes:.0f} minutes; write a video"
        ) from error
    except InputError:  # a ValueError too, about a frame
        raise
    except ValueError as error:  # a side of a WebP has at most 16383 pixels
        raise InputError(f"cannot write {path}: {error}; choose a smaller `size`, or .gif") from error
    return buffer.getvalue()
