"""Decoding: any common image file to a float32 sRGB array."""

import io
import warnings
from pathlib import Path

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


def _flatten(image: Image.Image) -> np.ndarray:
    """Any mode to ``(h, w, 3)`` float32 in [0, 1], alpha composited over white."""
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
    return np.asarray(image, np.float32) / 255.0


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
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder where an image file is wanted: name one file in it")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is an empty file: copy or save it again")
        with warnings.catch_warnings():
            # Pillow warns of large images before it refuses huge ones; large ones are welcome here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", message="(?s).*(Palette|EXIF|TIFF|Truncated|Corrupt).*")
            with Image.open(path) as image:
                image.load()
                oriented = ImageOps.exif_transpose(image)
                if "icc_profile" in image.info:
                    oriented.info["icc_profile"] = image.info["icc_profile"]
                pixels = _flatten(oriented)
    except InputError as error:
        raise InputError(str(error).replace("{path}", str(path))) from None
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image that can be read: a JPEG, PNG, WebP or TIFF is wanted"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has more than {MAX_PIXELS:,} pixels: make it smaller first") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: change its permissions") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow reports truncation and corruption by any of these, according to the format.
        raise InputError(f"{path} is a damaged or truncated image: copy or save it again") from error
    except MemoryError as error:
        raise InputError(f"{path} does not fit into memory: make it smaller first") from error
    return np.ascontiguousarray(pixels[None])


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def find_images(folder: Path) -> list[Path]:
    """The files of a folder (not of its subfolders) whose suffix is an image's, sorted by name.

    Raises:
        InputError: the folder cannot be listed, or has none.
    """
    try:
        found = sorted(p for p in folder.iterdir() if _is_picture(p))
    except OSError as error:
        raise InputError(f"cannot list the folder {folder}: {error.strerror}; check the path") from error
    if not found:
        raise InputError(f"the folder {folder} has no image ({', '.join(SUFFIXES)}): name another")
    return found
