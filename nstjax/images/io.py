"""Decodes image files of common formats to float32 sRGB arrays."""

import dataclasses
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from nstjax.errors import InputError, InputWarning
from nstjax.images.deep import Raster, is_deep, read_deep, read_tiff
from nstjax.images.icc import convert_floats, convert_image
from nstjax.images.jpeg_end import complete_jpeg
from nstjax.images.opening import check_room, frame_count, open_file, open_image

LARGE_PIXELS = 2**25  # images with more pixels may be reduced while they are decoded
_KEPT_SIDE, _KEPT_SHORT = 4, 2  # a reduced image keeps at least this many times the needed long or short side
_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, upright and in sRGB.

    Attributes:
        colors: ``(h, w, 3)``: uint8, or float32 in [0, 1] if the file has more than 8 bits. Not multiplied by
            alpha.
        alpha: ``(h, w)`` of the same dtype, or None if the file has no alpha channel.
        highest: highest sample in the file, before the conversion to sRGB; 1 for floats.
        bits: bits per sample in the file; 0 for floats.
        frames: number of frames if this is the first frame of an animation; 1 for a still image.
    """

    colors: np.ndarray
    alpha: np.ndarray | None
    highest: float
    bits: int
    frames: int = 1


@dataclasses.dataclass(frozen=True)
class _Need:
    """The size that the caller needs: a short side, or a long side for large images; 0 is the full size."""

    short: int = 0
    long: int = 0

    def factor(self, width: int, height: int) -> int:
        """Return the integer factor by which an image of this size may be reduced."""
        if width * height <= LARGE_PIXELS:
            return 1
        if self.short:
            return max(1, min(width, height) // (_KEPT_SHORT * self.short))
        return max(1, max(width, height) // (_KEPT_SIDE * self.long)) if self.long else 1


def _block_mean(samples: np.ndarray, factor: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Reduce an image by an integer factor. The last blocks may be smaller.

    Args:
        samples: ``(h, w, ...)``, unsigned integers or floats.
        factor: side of a block in pixels.
        weights: ``(h, w)``, weights of the pixels in the mean of their block, not negative; None weights all alike.

    Returns:
        The means of the blocks, of the same dtype; 0 where all weights of a block are 0.
    """
    if factor == 1:
        return samples
    rows = np.arange(0, samples.shape[0], factor)
    columns = np.arange(0, samples.shape[1], factor)
    found = np.empty((len(rows), len(columns), *samples.shape[2:]), samples.dtype)
    channels = [1] * (samples.ndim - 2)
    for i, row in enumerate(rows):  # by rows, because the products are float64
        block = slice(row, row + factor)
        band = samples[block]
        shares = np.ones(band.shape[:2]) if weights is None else weights[block].astype(np.float64)
        shares = shares.reshape(*shares.shape, *channels)
        sums, totals = (
            np.add.reduceat(part.sum(axis=0, dtype=np.float64), columns, axis=0)
            for part in (band if weights is None else band * shares, shares)
        )
        means = np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)
        found[i] = np.rint(means) if samples.dtype.kind == "u" else means
    return found


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image ``(h, w, ...)`` upright, given its EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 if the metadata are damaged, as image viewers assume."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return value if value in range(1, 9) else 1
    except Exception:  # EXIF is itself a TIFF, and its parser raises nearly any exception
        return 1


def _from_pillow(image: Image.Image, factor: int) -> Picture:
    """Convert a decoded Pillow image with at most 8 bits per sample, reduced by an integer factor."""
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    elif image.mode == "PA":
        image = image.convert("RGBA")
    elif "transparency" in image.info:
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    if factor > 1:
        image = image.reduce(factor)
    alpha = None
    if image.mode in ("LA", "RGBA"):
        alpha = _turned(np.asarray(image.getchannel("A")), orientation)
        image = image.getchannel("L") if image.mode == "LA" else image.convert("RGB")
    highest = float(np.asarray(image).max())
    return Picture(_turned(np.asarray(convert_image(image, profile)), orientation), alpha, highest, 8)


def _from_raster(raster: Raster, factor: int) -> Picture:
    """Convert the samples of a file with more than 8 bits, reduced by an integer factor."""
    samples, alpha, top = raster.samples, raster.alpha, np.float32(raster.top)
    # Weighted by alpha, the colors of transparent pixels stay hidden, as they do in Pillow's reduction.
    samples = _block_mean(samples, factor, None if raster.premultiplied else alpha)
    values = _turned(samples, raster.orientation).astype(np.float32) / top
    if alpha is not None:
        alpha = _turned(_block_mean(alpha, factor), raster.orientation).astype(np.float32) / top
    if raster.premultiplied and alpha is not None:
        values = (values / np.maximum(alpha, np.float32(1e-6))[..., None]).clip(0, 1)
    if values.shape[-1] == 4:
        inks = Image.fromarray(np.rint(values * 255).astype(np.uint8), "CMYK")
        colors = np.asarray(convert_image(inks, raster.profile)) / np.float32(255)
    else:
        colors = convert_floats(values, raster.profile)
    return Picture(colors, alpha, raster.highest, raster.bits)


def _decode(file: Path | BinaryIO, name: str, need: _Need) -> Picture:
    """Decode a file. All decoders are called from here."""
    with open_file(file, name) as (stream, kind):
        if kind == "TIFF":
            raster = read_tiff(stream, name, need.factor)
            if raster is not None:
                height, width = raster.samples.shape[:2]
                return _from_raster(raster, need.factor(width, height))
            stream.seek(0)
        image = open_image(stream, kind, name)
        width, height = image.size
        factor = need.factor(width, height)
        if kind == "JPEG":
            # libjpeg reduces an image to 1/2, 1/4 or 1/8 while decoding, at almost no cost.
            if need.short:
                image.draft(None, (_KEPT_SHORT * need.short, _KEPT_SHORT * need.short))
            elif factor > 1:
                image.draft(None, (width // factor, height // factor))
            width, height = image.size
            factor = need.factor(width, height)
        deep = kind in ("PNG", "TIFF", "JPEG 2000", "PPM") and is_deep(image)
        check_room(name, width, height, max(3, len(image.getbands())) * (2 if deep else 1), factor)
        if deep:
            turn = _orientation(image)

            def reopen() -> Image.Image:
                stream.seek(0)
                return open_image(stream, kind, name)

            raster = read_deep(reopen)
            raster.orientation = 1 if kind == "TIFF" else turn  # Pillow has already turned TIFFs
            return _from_raster(raster, factor)
        frames = frame_count(image, kind)
        try:
            image.load()
        except OSError as error:
            if kind != "JPEG" or "truncated" not in str(error):
                raise
            stream.seek(0)
            whole = complete_jpeg(stream.read())
            if whole is None:
                raise
            image, factor = whole, need.factor(*whole.size)
        return dataclasses.replace(_from_pillow(image, factor), frames=frames)


def _is_transparent(alpha: np.ndarray) -> bool:
    """Return True if at least one pixel is not opaque.

    An 8-bit value is not opaque if it is below 255. A float32 value, from a file with more bits, is not opaque if it
    is below 0.999: a smaller difference from 1 can be a rounding error, and is not visible.
    """
    return bool(alpha.min() < (255 if alpha.dtype == np.uint8 else 0.999))


def _note(message: str) -> None:
    warnings.warn(message, InputWarning, stacklevel=3)


def _over_white(picture: Picture) -> np.ndarray:
    """Composite a picture over white and return ``(h, w, 3)``, uint8 or float32 in [0, 1]."""
    if picture.alpha is None:
        return picture.colors
    if picture.colors.dtype == np.uint8:
        image = Image.fromarray(picture.colors)
        white = Image.new("RGB", image.size, "white")
        return np.asarray(Image.composite(image, white, Image.fromarray(picture.alpha)))
    alpha = picture.alpha[..., None]
    return picture.colors * alpha + (1 - alpha)


def _to_float(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 to float32 in [0, 1]; return other arrays unchanged."""
    return pixels.astype(np.float32) / np.float32(255) if pixels.dtype == np.uint8 else pixels


def flatten(image: Image.Image) -> np.ndarray:
    """Convert a decoded Pillow image of any 8-bit mode, or of 16-bit gray, to an array.

    Returns:
        ``(h, w, 3)`` float32 in [0, 1], sRGB, composited over white.
    """
    if not image.mode.startswith("I"):
        return _to_float(_over_white(_from_pillow(image, 1)))
    raster = read_deep(lambda: image)  # Pillow would clip 16-bit gray at 255
    raster.orientation = _orientation(image)
    return _over_white(_from_raster(raster, 1))


def ignore_noise() -> None:
    """Silence Pillow's warnings about large and slightly damaged files, in all threads of the process."""
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Convert the result of :func:`decode_image` to uint8.

    Args:
        pixels: uint8, or float32 in [0, 1].
    """
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)


def _check_range(picture: Picture, name: str) -> None:
    """Raise :class:`InputError` for a nearly black image with more than 8 bits, such as 0 to 255 in 16 bits."""
    top = 2**picture.bits - 1
    if picture.bits > 8 and 0 < picture.highest <= top / 256:
        raise InputError(
            f"{name} has {picture.bits} bits but no value over {picture.highest:.0f} of {top}, which is nearly "
            f"black: save it with 8 bits, or scale its values"
        )


def decode_image(file: Path | BinaryIO, name: str, at_least: int = 0, long_side: int = 0) -> np.ndarray:
    """Decode an image file, or an image in memory, as :func:`load_image` does.

    Unlike :func:`load_image`, this function may run in several threads at once and does not warn. Call
    :func:`ignore_noise` before.

    Args:
        file: a path, or a binary stream.
        name: what messages call the image.
        at_least: if not 0, a sufficient short side in pixels. A much larger JPEG is decoded at a half, a quarter
            or an eighth of its size, at least twice this value. An image of any format with more than
            :data:`LARGE_PIXELS` is also reduced.
        long_side: see :func:`load_image`.

    Returns:
        ``(h, w, 3)``, sRGB: uint8, or float32 in [0, 1] if the file has more than 8 bits.

    Raises:
        InputError: As for :func:`load_image`.
    """
    picture = _decode(file, name, _Need(at_least, long_side))
    _check_range(picture, name)
    return _over_white(picture)


def load_with_alpha(path: Path) -> Picture:
    """Decode an image file and keep its alpha channel separate.

    Args:
        path: the file.

    Returns:
        The picture, with float32 arrays in [0, 1].

    Raises:
        InputError: As for :func:`load_image`; but a 16-bit file that contains only 8-bit values is allowed.
    """
    with warnings.catch_warnings():
        ignore_noise()
        picture = _decode(path, str(path), _Need())
    alpha = None if picture.alpha is None else _to_float(picture.alpha)
    return dataclasses.replace(picture, colors=_to_float(picture.colors), alpha=alpha)


def load_image(path: str | Path, long_side: int = 0) -> np.ndarray:
    """Decode an image file.

    The format is recognized from the file's content: JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000, PPM, TGA,
    ICO, and HEIC if pillow-heif is installed. The EXIF orientation is applied, an ICC profile is converted to
    sRGB, and alpha is composited over white. Gray, palette, CMYK, 16-bit and floating-point images are
    supported. Of an animation, the first frame is decoded. Damaged metadata are ignored. An
    :class:`~nstjax.errors.InputWarning` tells of transparent pixels and of further frames, because the result
    does not show them.

    Args:
        path: the file.
        long_side: if not 0, a sufficient long side in pixels. An image with more than :data:`LARGE_PIXELS` is
            reduced while it is decoded, to at least four times this value; smaller images are not reduced.

    Returns:
        ``(1, h, w, 3)`` float32, sRGB, values in [0, 1].

    Raises:
        InputError: If the file is missing, unreadable, empty, damaged or of another format; if its layout has no
            certain meaning as an image; if it has more pixels than :data:`~nstjax.images.opening.MAX_PIXELS` or
            than the free memory allows; or if it has more than 8 bits and no value over 1/256 of white.
    """
    path = Path(path)
    with warnings.catch_warnings():
        ignore_noise()
        picture = _decode(path, str(path), _Need(long=long_side))
    _check_range(picture, str(path))
    if picture.alpha is not None and _is_transparent(picture.alpha):
        _note(f"{path} has transparent pixels, which are shown over white")
    if picture.frames > 1:
        _note(f"{path} is an animation of {picture.frames} frames, of which only the first is used")
    return np.ascontiguousarray(_to_float(_over_white(picture))[None])
