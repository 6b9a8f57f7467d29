"""Decoding: any common image file to a float32 sRGB array."""

import io
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from nstjax.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # where Pillow itself refuses a decompression bomb


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert by the embedded ICC profile, if it has a usable one for its mode."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "L", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile is ignored by every viewer too
    return converted or image


def _pixels(image: Image.Image) -> np.ndarray:
    """Any mode to ``(h, w, 3)``, uint8 or (of more bits) float32 in [0, 1]; alpha composited over white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float32) / 65535.0
        return np.repeat(grey.clip(0, 1)[..., None], 3, axis=-1)
    if image.mode == "F":
        grey = np.asarray(image, np.float32)
        if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 1:
            raise InputError(
                "{path} is a floating-point image with values outside [0, 1]: scale it to [0, 1]"
            )
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("PA", "LA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        colour = _to_srgb(image.convert("RGB"))
        image = Image.composite(colour, Image.new("RGB", image.size, "white"), alpha)
    else:
        if image.mode not in ("RGB", "L", "CMYK"):
            profile = image.info.get("icc_profile")
            image = image.convert("RGB")
            if profile:
                image.info["icc_profile"] = profile
        image = _to_srgb(image).convert("RGB")
    return np.asarray(image)


def _to_float(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255) if pixels.dtype == np.uint8 else pixels


def flatten(image: Image.Image) -> np.ndarray:
    """Any mode to ``(h, w, 3)`` float32 in [0, 1], alpha composited over white."""
    return _to_float(_pixels(image))


def ignore_noise() -> None:
    """Silence what Pillow says of large and of slightly odd files, in every thread of the process."""
    # Pillow warns of large images before it refuses huge ones; large ones are welcome here.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """What :func:`decode_image` gives, as uint8."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)


def decode_image(file: Path | BinaryIO, name: str, at_least: int = 0) -> np.ndarray:
    """Decode an image file or the bytes of one, as :func:`load_image` does.

    Unlike it, this may run in several threads at once; :func:`ignore_noise` belongs before it.

    Args:
        file: a path, or a binary stream.
        name: what messages call it.
        at_least: if not 0, a short side that is enough: a JPEG that is many times larger is decoded at a half,
            a quarter or an eighth of its size, which stays at least twice this.

    Returns:
        ``(h, w, 3)``, sRGB: uint8, or float32 in [0, 1] where the file has more than 8 bits.

    Raises:
        InputError: as :func:`load_image`.
    """
    try:
        if isinstance(file, Path):
            if file.is_dir():
                raise InputError(f"{file} is a folder where an image file is wanted: name one file in it")
            if file.stat().st_size == 0:
                raise InputError(f"{file} is an empty file: copy or save it again")
        with Image.open(file) as image:
            if at_least:
                image.draft(None, (2 * at_least, 2 * at_least))
            image.load()
            oriented = ImageOps.exif_transpose(image)
            if "icc_profile" in image.info:
                oriented.info["icc_profile"] = image.info["icc_profile"]
            return _pixels(oriented)
    except InputError as error:
        raise InputError(str(error).replace("{path}", name)) from None
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} is not an image that can be read: a JPEG, PNG, WebP or TIFF is wanted"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} has more than {MAX_PIXELS:,} pixels: make it smaller first") from error
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist: check the path") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read: change its permissions") from error
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error) as error:
        # Pillow reports truncation and corruption by any of these, according to the format.
        raise InputError(f"{name} is a damaged or truncated image: copy or save it again") from error
    except MemoryError as error:
        raise InputError(f"{name} does not fit into memory: make it smaller first") from error


def load_image(path: str | Path) -> np.ndarray:
    """Decode an image file.

    JPEG, PNG, WebP, TIFF, and what else Pillow reads. The EXIF orientation is applied, an ICC profile
    converted to sRGB, alpha composited over white; grey, palette, CMYK and 16-bit images are handled. Of
    an animation the first frame is taken.

    Args:
        path: the file.

    Returns:
        ``(1, h, w, 3)`` float32, sRGB, values in [0, 1].

    Raises:
        InputError: the file is missing, unreadable, empty, truncated, not an image, or claims so many
            pixels (over :data:`MAX_PIXELS`) that it may be a decompression bomb.
    """
    path = Path(path)
    with warnings.catch_warnings():
        ignore_noise()
        pixels = decode_image(path, str(path))
    return np.ascontiguousarray(_to_float(pixels)[None])


def is_picture(path: Path) -> bool:
    """Whether it is a file whose suffix is an image's, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def find_images(folder: Path) -> list[Path]:
    """The files of a folder (not of its subfolders) whose suffix is an image's, sorted by name.

    Raises:
        InputError: the folder cannot be listed, or has none.
    """
    try:
        found = sorted(p for p in folder.iterdir() if is_picture(p))
    except OSError as error:
        raise InputError(f"cannot list the folder {folder}: {error.strerror}; check the path") from error
    if not found:
        raise InputError(f"the folder {folder} has no image ({', '.join(SUFFIXES)}): name another")
    return found
