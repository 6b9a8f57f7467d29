"""Opens image files. No other module calls Pillow's decoders."""

import contextlib
import ctypes
import functools
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import PIL._imaging
from PIL import Image, features

from nstjax.errors import InputError
from nstjax.free_memory import host_bytes
from nstjax.images.formats import HEAD, READABLE, recognise

ANIMATED = ("GIF", "PNG", "WebP", "AVIF")  # formats whose further frames are frames of an animation
MAX_PIXELS = 2**28  # phones make photographs of 200 megapixels; a PNG of 33 KB can declare 3,600 megapixels
WANTED = "save it as JPEG, PNG, WebP or TIFF"
_DAMAGED = "is a damaged or truncated image: copy or save it again"


@contextlib.contextmanager
def as_input_error(name: str, damaged: str = _DAMAGED) -> Iterator[None]:
    """Turn every exception of a decoder in the block into an :class:`InputError` about the file.

    Decoders raise nearly every built-in exception on damaged files, so all are caught.

    Args:
        name: what messages call the file.
        damaged: the end of the message about a damaged file.

    Raises:
        InputError: In place of any ``Exception``.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist: check the path") from error
    except PermissionError as error:
        raise InputError(f"cannot read {name}: permission denied; change its permissions") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} has more pixels than its decoder allows: make it smaller first") from error
    except MemoryError as error:
        raise InputError(f"{name} does not fit into memory: make it smaller first") from error
    except Exception as error:
        raise InputError(f"{name} {damaged}") from error


def check_pixels(name: str, width: int, height: int) -> None:
    """Check the size of an image, to protect against decompression bombs.

    Args:
        name: what messages call the image.
        width: width in pixels.
        height: height in pixels.

    Raises:
        InputError: If the image has more than :data:`MAX_PIXELS`, or none.
    """
    if width * height > MAX_PIXELS:
        raise InputError(f"{name} has more than {MAX_PIXELS:,} pixels: make it smaller first")
    if width < 1 or height < 1:
        raise InputError(f"{name} {_DAMAGED}")


def check_room(name: str, width: int, height: int, pixel_bytes: int, factor: int) -> None:
    """Check that an image can be decoded in the free memory.

    Args:
        name: what messages call the image.
        width: width of the image in the file, in pixels.
        height: height of the image in the file, in pixels.
        pixel_bytes: bytes per pixel of the decoded image.
        factor: factor by which the decoded image is reduced.

    Raises:
        InputError: If there is not enough memory.
    """
    # Three copies of the decoded image, for conversions; then the reduced one once as bytes and twice as float32.
    pixels = width * height
    needed = pixels * 3 * pixel_bytes + pixels / factor**2 * 3 * (1 + 2 * 4)
    free = host_bytes()
    if needed > free:
        raise InputError(
            f"{name} has {width}×{height} pixels, which need about {needed / 2**30:.1f} GiB to decode, and "
            f"{free / 2**30:.1f} GiB are free: make it smaller first"
        )


@functools.cache
def _silence_libtiff() -> None:
    """Stop libtiff from printing errors and warnings on standard error.

    Pillow has no setting for this, so the function calls libtiff directly. It finds libtiff's functions through
    Pillow's library, which does not work on Windows, where libtiff is part of that library.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(PIL._imaging.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


def frame_count(image: Image.Image, kind: str) -> int:
    """Return the number of frames of an animation that Pillow opened; 1 for every other image.

    Args:
        image: the image.
        kind: its format, from :func:`open_file`.
    """
    if kind not in ANIMATED:
        return 1
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # counting reads the whole GIF; decoding it will report the damage
        return 1
    return frames - bool(getattr(image, "default_image", False))


def refusal(kind: str | None) -> str:
    """Return why files of a format are not read, as the end of a message; empty if they are read.

    Args:
        kind: the format from :func:`~nstjax.images.formats.recognise`, or None if it is unknown.
    """
    if kind is None:
        return f"is not an image that can be read: {WANTED}"
    if kind not in READABLE:
        article = "an" if kind[0] in "AEIOH" or kind[:3] == "SVG" else "a"
        return f"is {article} {kind} file, which nstjax does not read: {WANTED}"
    feature = {"WebP": "webp", "AVIF": "avif", "JPEG 2000": "jpg_2000"}.get(kind)
    try:
        _plugin(kind)
        if feature and not features.check(feature):
            raise ImportError(feature)
    except (ImportError, AttributeError):
        if kind == "HEIC":
            return "is a HEIC image: pip install 'nstjax[heic]', or save it as JPEG"
        return f"is of the format {kind}, which this Pillow does not read: {WANTED}"
    return ""


def _plugin(kind: str) -> Any:
    """Import the Pillow plugin of a format and return its image class."""
    module, name = READABLE[kind]
    if kind == "HEIC":
        return getattr(importlib.import_module("pillow_heif"), name)
    return getattr(importlib.import_module(f"PIL.{module}"), name)


@contextlib.contextmanager
def open_file(file: Path | BinaryIO, name: str) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file and recognize its format from its content.

    Args:
        file: a path, or a seekable binary stream.
        name: what messages call the file.

    Yields:
        The stream, at its beginning, and the format, a key of :data:`~nstjax.images.formats.READABLE`. An
        exception in the ``with`` block becomes an :class:`InputError`.

    Raises:
        InputError: If the file is missing, empty, a folder, or not of a supported format.
    """
    with as_input_error(name), contextlib.ExitStack() as stack:
        if isinstance(file, Path):
            if file.is_dir():
                raise InputError(f"{file} is a folder where an image file is needed: name one file in it")
            file = stack.enter_context(file.open("rb"))
        head = file.read(HEAD)
        file.seek(0)
        if not head:
            raise InputError(f"{name} is an empty file: copy or save it again")
        kind = recognise(head, name)
        reason = refusal(kind)
        if reason:
            raise InputError(f"{name} {reason}")
        assert kind is not None
        yield file, kind


def open_image(stream: BinaryIO | bytes, kind: str, name: str) -> Image.Image:
    """Read the header of an image with the Pillow plugin of its format.

    ``PIL.Image.open`` would try every plugin, and it rejects photographs of 200 megapixels.

    Args:
        stream: the file, at its beginning.
        kind: its format, from :func:`open_file`.
        name: what messages call the image.

    Raises:
        InputError: If the image has too many pixels, or none.
    """
    if kind == "TIFF":
        _silence_libtiff()
    image: Image.Image = _plugin(kind)(io.BytesIO(stream) if isinstance(stream, bytes) else stream, "")
    check_pixels(name, *image.size)
    return image
