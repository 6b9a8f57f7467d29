"""Writes an array to an image file, atomically, in the format of its suffix."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from nstjax.errors import InputError
from nstjax.files import check_replaceable, write_atomically
from nstjax.pixels import check_floating

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
SIXTEEN_BIT = ("PNG", "TIFF")
LONGEST_NAME = 200  # bytes; file systems have 255, and names beside the output are longer
METADATA_KEY = "nstjax"
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131  # EXIF and TIFF tags


def check_place(path: Path) -> None:
    """Raise :class:`InputError` where no file of this name can be written, whatever its format."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise InputError(f"the output's name is longer than {LONGEST_NAME} bytes: choose a shorter one")
    if path.is_dir():
        raise InputError(f"the output {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"the output's folder {path.parent} does not exist: make it first")
    check_replaceable(path)


def check_output(path: Path, bits: int = 8) -> str:
    """The format of an output's suffix, once it is known that it can be written there.

    Raises:
        InputError: the suffix is of no known format, the format has no 16-bit form and that is asked for,
            the path is a folder, or its folder does not exist or may not be written.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"the output {path} has no known suffix: it must end in one of {', '.join(FORMATS)}")
    if bits not in (8, 16):
        raise InputError(f"`bits` is {bits}: it must be 8 or 16")
    if bits == 16 and kind not in SIXTEEN_BIT:
        raise InputError(f"the output {path} cannot hold 16 bits: only .png and .tiff can")
    check_place(path)
    return kind


def to_integers(image: np.ndarray, bits: int = 8) -> np.ndarray:
    """``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1] (values outside are clamped) to ``(h, w, 3)`` integers."""
    check_floating("image", image)
    pixels = np.asarray(image, np.float64).reshape(image.shape[-3:])
    top = 2**bits - 1
    return np.rint(pixels.clip(0.0, 1.0) * top).astype(np.uint16 if bits == 16 else np.uint8)


def median_filter(image: np.ndarray, size: int = 3) -> np.ndarray:
    """The median of each ``size``×``size`` neighbourhood, a channel at a time (report 001, section 1.2).

    For what is saved, never for the iterate: filtered iterates drift in brightness.

    Args:
        image: ``(1, h, w, 3)``.
        size: odd.

    Returns:
        The same shape; borders are reflected.
    """
    from scipy import ndimage

    return ndimage.median_filter(np.asarray(image), size=(1, size, size, 1), mode="reflect")


def _encode_16_bit(pixels: np.ndarray, kind: str, text: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "TIFF":
        import tifffile

        # tifffile needs 7-bit text; json.dumps escapes the rest.
        tifffile.imwrite(
            buffer, pixels, photometric="rgb", compression=None, description=text, software=METADATA_KEY
        )
        return buffer.getvalue()
    import png

    height, width, _ = pixels.shape
    png.Writer(width, height, greyscale=False, bitdepth=16).write(buffer, pixels.reshape(height, -1))
    # pypng writes no text chunks: the settings go in before IEND by hand of its own chunk list.
    chunks = list(png.Reader(bytes=buffer.getvalue()).chunks())
    chunks.insert(1, (b"tEXt", METADATA_KEY.encode() + b"\0" + text.encode("latin-1")))
    buffer = io.BytesIO()
    png.write_chunks(buffer, chunks)
    return buffer.getvalue()


def save_image(
    path: str | Path,
    image: np.ndarray,
    metadata: dict[str, Any] | None = None,
    bits: int = 8,
    quality: int = 95,
) -> None:
    """Write an image in the format of its suffix.

    Args:
        path: ends in ``.jpg``, ``.jpeg``, ``.png``, ``.webp``, ``.tif`` or ``.tiff``.
        image: ``(1, h, w, 3)`` or ``(h, w, 3)``, sRGB; values outside [0, 1] are clamped.
        metadata: kept as JSON inside the file: PNG text ``nstjax``, EXIF or TIFF ImageDescription.
        bits: 8, or 16 for PNG and TIFF.
        quality: of JPEG and WebP, 1 to 100.

    Raises:
        InputError: see :func:`check_output`; or the disk is full. Nothing half-written stays behind.
    """
    path = Path(path)
    kind = check_output(path, bits)
    pixels = to_integers(image, bits)
    text = json.dumps(metadata or {})
    if bits == 16:
        write_atomically(path, _encode_16_bit(pixels, kind, text))
        return
    options: dict[str, Any] = {}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text(METADATA_KEY, text)
        options["pnginfo"] = info
    elif kind == "TIFF":
        options["tiffinfo"] = {_DESCRIPTION: text, _SOFTWARE: METADATA_KEY}
    else:
        exif = Image.Exif()
        exif[_DESCRIPTION], exif[_SOFTWARE] = text, METADATA_KEY
        options |= {"exif": exif, "quality": quality}
        if kind == "JPEG":
            options["subsampling"] = 0  # full-resolution colour: brush strokes are colour edges
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, kind, **options)
    except (ValueError, OSError) as error:  # a format's own limits, such as WebP's 16383 pixels
        raise InputError(
            f"cannot write {path}: {kind} cannot hold it ({error}); choose another format"
        ) from error
    write_atomically(path, buffer.getvalue())


def save_gif(path: str | Path, frames: Sequence[np.ndarray], seconds: float = 0.1) -> None:
    """Write an animated GIF of frames of one size; the last is held ten times as long.

    Args:
        path: ends in ``.gif``.
        frames: each ``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1]; at least one.
        seconds: a frame.

    Raises:
        InputError: the path does not end in ``.gif``, or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise InputError(f"the animation {path} must end in .gif")
    images = [Image.fromarray(to_integers(frame)) for frame in frames]
    durations = [round(1000 * seconds)] * (len(images) - 1) + [round(10_000 * seconds)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    write_atomically(path, buffer.getvalue())
