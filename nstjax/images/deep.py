"""Decoders for images with more than 8 bits per sample, and for TIFF files that Pillow does not read correctly.

Pillow reduces most color images with 16 bits per sample to 8.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.images.opening import check_pixels, check_room

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # this module raises one sentence instead

_GRAYS, _RGB, _CMYK = (0, 1), 2, 5  # TIFF's PhotometricInterpretation
_WHITE_IS_ZERO = 0
_UNSIGNED, _FLOAT = 1, 3  # SampleFormat
_PREMULTIPLIED, _STRAIGHT = 1, 2  # ExtraSamples
_PHOTOMETRIC = {
    3: "a palette",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    32803: "a sensor's mosaic",
    34892: "raw",
}
_ICC_PROFILE, _ORIENTATION, _DNG = 34675, 274, 50706
_MAX_CHANNELS = 5  # CMYK and alpha


class Raster:
    """The samples of an image as its file stores them; the orientation is not yet applied.

    Attributes:
        samples: ``(h, w, c)``: unsigned integers, or float32 in [0, 1].
        top: value of a white sample (for CMYK, of full ink); 1 for floats.
        bits: bits per sample in the file; 0 for floats.
        highest: highest sample in the file, before any conversion; 1 for floats.
        alpha: ``(h, w)`` in the same range, or None.
        premultiplied: True if the samples are already multiplied by alpha.
        profile: the ICC profile, or None.
        orientation: the EXIF orientation, 1 to 8.
    """

    def __init__(
        self,
        samples: np.ndarray,
        top: float,
        alpha: np.ndarray | None = None,
        premultiplied: bool = False,
        profile: bytes | None = None,
        orientation: int = 1,
        bits: int = 16,
        highest: float | None = None,
    ):
        self.samples, self.top, self.alpha = samples, top, alpha
        self.bits, self.highest = bits, float(samples.max()) if highest is None else highest
        self.premultiplied, self.profile, self.orientation = premultiplied, profile, orientation


def read_tiff(
    stream: BinaryIO, name: str, factor: Callable[[int, int], int] = lambda width, height: 1
) -> Raster | None:
    """Read the first image of a TIFF according to its tags, unless Pillow reads it correctly.

    Args:
        stream: the file, at its beginning.
        name: what messages call the file.
        factor: function of the width and height that returns the factor by which the caller will reduce the image; used
            to estimate the memory.

    Returns:
        The samples; None for unsigned samples of 1 to 8 bits, and for a 16-bit image that Pillow reads and whose
        compression tifffile supports only with the package imagecodecs.

    Raises:
        InputError: If the file is truncated, needs more memory than is free or a missing codec, is a camera's raw file,
            or has samples or channels whose meaning as colors is not certain.
    """
    import tifffile

    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        check_pixels(name, page.imagewidth, page.imagelength)
        if _DNG in page.tags or page.photometric in (32803, 34892):
            raise InputError(f"{name} is a camera RAW file: convert it to JPEG or TIFF")
        bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
        format_ = page.sampleformat if isinstance(page.sampleformat, int) else max(page.sampleformat)
        if format_ == _UNSIGNED and bits <= 8 and page.photometric not in (8, 9):
            return None
        _check_layout(page, bits, int(format_), name)
        _check_whole(page, stream, name)
        width, height, pixel_bytes = page.imagewidth, page.imagelength, page.samplesperpixel * -(-bits // 8)
        check_room(name, width, height, pixel_bytes, factor(width, height))
        try:
            samples = page.asarray()
        except (ValueError, RuntimeError) as error:  # tifffile raises these if it lacks a codec
            if "imagecodecs" not in str(error) and "compression" not in str(error).lower():
                raise
            if _pillow_can(page, bits):
                return None
            raise InputError(
                f"{name} is a TIFF compressed by {page.compression.name}, which needs imagecodecs: "
                f"pip install imagecodecs, or save it uncompressed"
            ) from error
        stream.seek(0)
        return _by_tags(page, samples, bits, name)


def _check_layout(page: Any, bits: int, format_: int, name: str) -> None:
    """Raise :class:`InputError` for sample formats, color spaces and channels that are not supported."""
    if format_ not in (_UNSIGNED, _FLOAT):
        raise InputError(
            f"{name} has signed or complex values, whose white level is unknown: save it with "
            f"unsigned integers, or floating-point numbers in [0, 1]"
        )
    if page.photometric not in (*_GRAYS, _RGB, _CMYK):
        what = _PHOTOMETRIC.get(int(page.photometric), f"kind {int(page.photometric)}")
        raise InputError(f"{name} has colors of {what} in {bits} bits: save it as RGB")
    if page.imagedepth != 1 or page.samplesperpixel > _MAX_CHANNELS:
        raise InputError(f"{name} has too many channels for a color image: save it as RGB")


def _check_whole(page: Any, stream: BinaryIO, name: str) -> None:
    """Raise :class:`InputError` if data are missing; tifffile would replace them by zeros."""
    end = stream.seek(0, 2)
    ends = [o + c for o, c in zip(page.dataoffsets, page.databytecounts, strict=True)]
    missing = not ends or 0 in page.databytecounts or max(ends) > end
    if missing or (page.compression == 1 and sum(page.databytecounts) < page.nbytes):
        raise InputError(f"{name} is a damaged or truncated image: copy or save it again")


def _pillow_can(page: Any, bits: int) -> bool:
    """Return True if Pillow reads this color space and arrangement of channels with 16 bits."""
    chunky = page.planarconfig == 1 or page.samplesperpixel == 1
    gray = page.photometric == 1 and page.samplesperpixel == 1
    return chunky and bits == 16 and page.sampleformat == _UNSIGNED and (gray or page.photometric == _RGB)


def _by_tags(page: Any, samples: np.ndarray, bits: int, name: str) -> Raster:
    """Convert decoded samples according to the TIFF's tags."""
    if page.samplesperpixel == 1:
        samples = samples.reshape(page.imagelength, page.imagewidth, 1)
    elif page.planarconfig == 2:
        samples = np.moveaxis(samples.reshape(-1, page.imagelength, page.imagewidth), 0, -1)
    else:
        samples = samples.reshape(page.imagelength, page.imagewidth, -1)
    highest = 1.0
    if samples.dtype.kind == "f":
        if not np.isfinite(samples).all() or samples.min() < 0 or samples.max() > 1:
            raise InputError(
                f"{name} is a floating-point image with values outside [0, 1]: scale it to [0, 1]"
            )
        samples, top, bits = samples.astype(np.float32), 1.0, 0
    else:
        top, highest = float(2**bits - 1), float(samples.max())
        if bits > 16:  # float32 has a precision of 24 bits, and screens show at most 12
            samples, top = (samples / top).astype(np.float32), 1.0
    colors = {_RGB: 3, _CMYK: 4}.get(int(page.photometric), 1)
    alpha, premultiplied = None, False
    extra = tuple(page.extrasamples or ())
    for index, kind in enumerate(extra):
        if kind in (_PREMULTIPLIED, _STRAIGHT) and colors + index < samples.shape[-1]:
            alpha, premultiplied = samples[..., colors + index], kind == _PREMULTIPLIED
            break
    samples = samples[..., :colors]
    if samples.shape[-1] != colors:
        raise InputError(f"{name} has {samples.shape[-1]} channels, but its tags say {colors}: save it again")
    if page.photometric == _WHITE_IS_ZERO:
        samples = (top - samples).astype(samples.dtype)

    def tag(code: int) -> Any:
        return page.tags[code].value if code in page.tags else None

    turn = tag(_ORIENTATION) or 1
    return Raster(samples, top, alpha, premultiplied, tag(_ICC_PROFILE), turn, bits, highest)


def is_deep(image: Image.Image) -> bool:
    """Return True if an image has 16 bits per sample, so that :func:`read_deep` must read it.

    Args:
        image: an image that Pillow opened.
    """
    return image.mode.startswith("I") or (bool(image.tile) and ";16" in _raw_mode(image))  # type: ignore[attr-defined]


def _raw_mode(image: Any) -> str:
    """Return the raw mode with which Pillow decodes an image, such as ``"RGB;16B"``."""
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0])


def _decode_as(image: Any, raw: str) -> np.ndarray:
    """Decode an image with another raw mode than the one that Pillow chose; the result is uint16."""
    tiles = []
    for tile in image.tile:
        args = raw if isinstance(tile.args, str) else (raw, *tile.args[1:])
        tiles.append(tile._replace(args=args))
    image.tile = tiles
    image.load()
    return np.asarray(image).astype(np.uint16)


def read_deep(reopen: Callable[[], Image.Image]) -> Raster:
    """Read all 16 bits of an image; Pillow returns only 8 for color images.

    Pillow's decoders can return either the high or the low byte of each sample, so the file is decoded twice. (pypng
    also decodes 16-bit PNGs, but in Python, about a hundred times slower.)

    Args:
        reopen: function that opens the image; called once or twice.

    Returns:
        The samples, uint16.
    """
    image = reopen()
    profile, key = image.info.get("icc_profile"), image.info.get("transparency")
    if image.mode.startswith("I"):  # gray
        image.load()
        samples = np.asarray(image).astype(np.uint16)[..., None]
        alpha = (samples[..., 0] != key) * np.uint16(65535) if isinstance(key, int) else None
        return Raster(samples, 65535.0, alpha, profile=profile)
    raw = _raw_mode(image)
    if raw.startswith("LA;16"):
        # Decoded as RGBA, a pixel has four bytes: high and low byte of gray, then of alpha.
        both = _decode_as(image, "RGBA")
        samples = both[..., 0::2] << 8 | both[..., 1::2]
    else:
        # The raw mode ends in the file's byte order: L is little-endian, B is big-endian, and N, in decompressed TIFFs,
        # is the machine's own.
        stem, order = raw[:-1], raw[-1]
        if order == "N":
            order = "L" if sys.byteorder == "little" else "B"
        other = "L" if order == "B" else "B"
        samples = _decode_as(image, stem + order) << 8 | _decode_as(reopen(), stem + other)
    alpha = None
    if samples.shape[-1] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    elif isinstance(key, tuple):
        alpha = (samples != np.array(key)).any(-1) * np.uint16(65535)
    return Raster(samples, 65535.0, alpha, raw.startswith("RGBa"), profile)
