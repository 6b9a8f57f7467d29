"""Writes an array to an image file, atomically, in the format of the file's suffix."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from nstjax.errors import InputError
from nstjax.files import check_replaceable, write_atomically
from nstjax.images.opening import open_file, open_image
from nstjax.pixels import check_finite, check_floating

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
SIXTEEN_BIT = ("PNG", "TIFF")
LONGEST_NAME = 200  # bytes; file systems allow 255, and the files beside the output have longer names
METADATA_KEY = "nstjax"
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131  # EXIF and TIFF tags


def check_place(path: Path) -> None:
    """Raise :class:`InputError` if no file can be written to this path, whatever its format."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise InputError(f"the output's name is longer than {LONGEST_NAME} bytes: choose a shorter one")
    if path.is_dir():
        raise InputError(f"the output {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"the output's folder {path.parent} does not exist: make it first")
    check_replaceable(path)


def check_output(path: Path, bits: int = 8) -> str:
    """Check that an image can be written to a path, and return the format of its suffix.

    Args:
        path: the output file.
        bits: bits per channel.

    Returns:
        Pillow's name of the format, such as ``"JPEG"``; see :data:`FORMATS`.

    Raises:
        InputError: If the suffix is not in :data:`FORMATS`, ``bits`` is not 8 or 16, the format does not support
            16 bits, the path is a folder or its name is too long, or its folder does not exist or may not be
            written.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None and path.is_dir():
        raise InputError(f"the output {path} is a folder: name a file in it, such as {path / 'result.png'}")
    if kind is None:
        raise InputError(f"the output {path} has no known suffix: it must end in one of {', '.join(FORMATS)}")
    if bits not in (8, 16):
        raise InputError(f"`bits` is {bits}: it must be 8 or 16")
    if bits == 16 and kind not in SIXTEEN_BIT:
        raise InputError(f"the output {path} cannot hold 16 bits: only .png and .tiff can")
    check_place(path)
    return kind


def check_picture(image: np.ndarray, batch: bool = False) -> None:
    """Check that an array can be encoded as an image. Values outside [0, 1] are allowed.

    Args:
        image: the array.
        batch: True if the array may also be a batch ``(n, h, w, 3)``.

    Raises:
        InputError: If the array is not ``(1, h, w, 3)`` or ``(h, w, 3)``, is empty, is not floating point, or has
            values that are not finite.
    """
    check_floating("image", image)
    count = "n" if batch else "1"
    several = image.ndim == 4 and image.shape[0] != 1
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or image.size == 0 or (several and not batch):
        raise InputError(
            f"the image has shape {image.shape}: it must be ({count}, height, width, 3) or (height, width, 3)"
        )
    check_finite("image", np.asarray(image))


def to_integers(image: np.ndarray, bits: int = 8) -> np.ndarray:
    """Convert a floating-point image to integers.

    Args:
        image: ``(1, h, w, 3)`` or ``(h, w, 3)``; values outside [0, 1] are clipped.
        bits: 8 or 16.

    Returns:
        ``(h, w, 3)``: uint8 in [0, 255], or uint16 in [0, 65535].

    Raises:
        InputError: If the image has another shape or dtype, or values that are not finite.
    """
    check_picture(image)
    pixels = np.asarray(image, np.float64).reshape(image.shape[-3:])
    top = 2**bits - 1
    return np.rint(pixels.clip(0.0, 1.0) * top).astype(np.uint16 if bits == 16 else np.uint8)


def median_filter(image: np.ndarray, size: int = 3) -> np.ndarray:
    """Replace each value by the median of its ``size``×``size`` neighborhood, one channel at a time.

    See the Brown report, section 1.2. Use it only for images that are saved, not for the iterate of
    an optimization: filtered iterates drift in brightness.

    Args:
        image: ``(1, h, w, 3)``.
        size: side of the neighborhood in pixels; odd.

    Returns:
        An image of the same shape; beyond the borders the image is reflected.
    """
    from scipy import ndimage

    return ndimage.median_filter(np.asarray(image), size=(1, size, size, 1), mode="reflect")


def _encode_16_bit(pixels: np.ndarray, kind: str, text: str) -> bytes:
    """Encode a uint16 image ``(h, w, 3)`` as PNG or TIFF, with metadata as text."""
    buffer = io.BytesIO()
    if kind == "TIFF":
        import tifffile

        # tifffile accepts only ASCII text; json.dumps escapes all other characters. By default it writes a second
        # description with the shape, which Pillow 12 reads in place of the first.
        tifffile.imwrite(
            buffer,
            pixels,
            photometric="rgb",
            compression=None,
            description=text,
            metadata=None,
            software=METADATA_KEY,
        )
        return buffer.getvalue()
    import png

    height, width, _ = pixels.shape
    png.Writer(width, height, greyscale=False, bitdepth=16).write(buffer, pixels.reshape(height, -1))
    # pypng cannot write text chunks, so the metadata chunk is inserted after the first chunk, IHDR.
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
    """Write an image in the format of the file's suffix, completely or not at all.

    Args:
        path: the file, which must end in ``.jpg``, ``.jpeg``, ``.png``, ``.webp``, ``.tif`` or ``.tiff``.
        image: ``(1, h, w, 3)`` or ``(h, w, 3)``, floating point, sRGB; values outside [0, 1] are clipped.
        metadata: stored as JSON in the file: PNG text ``nstjax``, EXIF or TIFF ImageDescription.
        bits: bits per channel: 8, or 16 for PNG and TIFF.
        quality: quality of JPEG and WebP, 1 to 100.

    Raises:
        InputError: See :func:`check_output`; or if the image has another shape or dtype, or values that are not
            finite; or if the format cannot hold it.
        OutputError: If the file cannot be written, for example because the disk is full.
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
            options["subsampling"] = 0  # no chroma subsampling: the edges of brush strokes are color edges
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, kind, **options)
    except (ValueError, OSError) as error:  # a format's own limits, such as WebP's 16383 pixels
        raise InputError(
            f"cannot write {path}: {kind} cannot hold it ({error}); choose another format"
        ) from error
    write_atomically(path, buffer.getvalue())


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the metadata that :func:`save_image` stored in a file; empty if the file has none or cannot be read."""
    try:
        with open_file(Path(path), str(path)) as (stream, kind):
            image = open_image(stream, kind, str(path))
            if kind == "PNG":
                text = image.info.get(METADATA_KEY)
            else:
                exif = image.getexif()
                text = exif.get(_DESCRIPTION) if exif.get(_SOFTWARE) == METADATA_KEY else None
            found = json.loads(text) if isinstance(text, str) else {}
    except InputError:  # also in place of any exception about a damaged file
        return {}
    return found if isinstance(found, dict) else {}


def frames_of_one_size(path: Path, frames: Iterable[np.ndarray]) -> Iterator[Image.Image]:
    """Yield the frames of an animation as 8-bit images.

    Args:
        path: the file to write, for messages.
        frames: one or more frames of the same size, each ``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1].

    Raises:
        InputError: If there is no frame, a frame has another shape or dtype or values that are not finite, or frames
            have different sizes.
    """
    size = None
    for number, frame in enumerate(frames, 1):
        image = Image.fromarray(to_integers(frame))
        size = size or image.size
        if image.size != size:
            raise InputError(
                f"cannot write {path}: frame {number} has {image.width}×{image.height} pixels and the first frame "
                f"{size[0]}×{size[1]}: give all frames one size"
            )
        yield image
    if size is None:
        raise InputError(f"cannot write {path}: `frames` is empty")


def save_gif(path: str | Path, frames: Sequence[np.ndarray], seconds: float = 0.1) -> None:
    """Write an animated GIF that repeats forever. The last frame is shown ten times as long as the others.

    Args:
        path: the file, which must end in ``.gif``.
        frames: one or more frames of the same size, each ``(1, h, w, 3)`` or ``(h, w, 3)`` in [0, 1].
        seconds: duration of each frame but the last.

    Raises:
        InputError: If the path does not end in ``.gif``, or for the reasons of :func:`frames_of_one_size`.
        OutputError: If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise InputError(f"the animation {path} must end in .gif")
    images = list(frames_of_one_size(path, frames))
    durations = [round(1000 * seconds)] * (len(images) - 1) + [round(10_000 * seconds)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    write_atomically(path, buffer.getvalue())
