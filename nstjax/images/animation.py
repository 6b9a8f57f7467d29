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
from nstjax.images.encode import to_integers
from nstjax.images.io import flatten
from nstjax.images.opening import frame_count, open_file, open_image

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
_KINDS = {".gif": "GIF", ".webp": "WebP", ".png": "PNG", ".apng": "PNG"}
_TICKS = 2**16 - 1  # durations are 16 bits, of hundredths of a second in GIF and of milliseconds in APNG
LONGEST_MS = {"GIF": 10 * _TICKS, "PNG": _TICKS, "WebP": 2**24 - 1}


@dataclasses.dataclass(frozen=True)
class Animation:
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
        """Yield the frames in order, each ``(1, h, w, 3)`` float32 in [0, 1], as they are shown, over white."""
        for image, _ in _frames(self.path):
            yield np.ascontiguousarray(flatten(image)[None])


def _frames(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """Pillow's frames, each complete, and the format; damage becomes one sentence."""
    with warnings.catch_warnings(), open_file(path, str(path)) as (stream, kind):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if kind not in LONGEST_MS or (path.suffix.lower() == ".gif" and kind != "GIF"):
            raise InputError(f"{path} is not a GIF but a {kind}: name it by what it is")
        image = open_image(stream, kind, str(path))
        # An APNG may begin with a picture for programs that show no animations.
        first = int(getattr(image, "default_image", False))
        for number in range(first, getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.copy(), kind


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def is_animation(path: Path) -> bool:
    """Return whether a file is a GIF, WebP or APNG of several frames; False where it cannot be read."""
    try:
        with open_file(path, str(path)) as (stream, kind):
            return kind in LONGEST_MS and frame_count(open_image(stream, kind, str(path)), kind) > 1
    except InputError:
        return False


def open_animation(path: str | Path) -> Animation:
    """Decode an animation once, so that damage is reported before work begins.

    Raises:
        InputError: it is missing, damaged, or of another format than its suffix says.
    """
    path = Path(path)
    size, milliseconds, loop, clear = (0, 0), [], None, False
    for image, kind in _frames(path):
        size = (image.height, image.width)
        milliseconds.append(round(image.info.get("duration", 0)))
        clear = clear or _is_transparent(image)
        if kind == "GIF":
            loop = image.info.get("loop", loop)
        else:  # these count how often the frames are shown, GIF how often they are repeated
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

    A frame equal to the one before it becomes a longer one: the animation looks the same.

    Args:
        path: ends in one of :data:`ANIMATION_SUFFIXES`.
        frames: each ``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1], all of one size; taken one at a time, and all held in 8 bits.
        milliseconds: how long each is shown.
        loop: see :class:`Animation`.
        quality: of WebP, 1 to 100.

    Returns:
        The content of the file.

    Raises:
        InputError: the path has another suffix, or the format cannot hold the animation.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"the animation {path} must end in one of {', '.join(ANIMATION_SUFFIXES)}")
    images = (Image.fromarray(to_integers(frame)) for frame in frames)
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
    rest = images if kind == "GIF" else list(images)  # Pillow goes over those of the others several times
    try:
        first.save(buffer, kind.upper(), save_all=True, append_images=rest, **options)
    except struct.error as error:  # equal frames joined beyond LONGEST_MS
        minutes = LONGEST_MS[kind] / 60_000
        raise InputError(
            f"cannot write {path}: this format cannot stand still for over {minutes:.0f} minutes; make a video of it"
        ) from error
    except ValueError as error:  # WebP has at most 16383 pixels a side
        raise InputError(f"cannot write {path}: {error}; choose a smaller `size`, or .gif") from error
    return buffer.getvalue()
