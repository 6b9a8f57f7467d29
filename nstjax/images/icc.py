"""ICC color profiles (ICC.1:2010): converts the colors of a file to sRGB."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

# The columns are the XYZ values of sRGB's primaries, adapted to D50 with Bradford's matrix (brucelindbloom.com).
_SRGB_TO_XYZ = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def convert_image(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an 8-bit image to sRGB with LittleCMS.

    Args:
        image: an image of mode ``L``, ``RGB`` or ``CMYK``; other modes are converted to ``RGB`` first.
        profile: the file's ICC profile, or None. A profile that is damaged, or for another color space than the
            image's, is ignored, as image viewers do.

    Returns:
        An image of mode ``RGB``.
    """
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = _MODES.get(source.profile.xcolor_space.strip())
            if mode == "RGB" and image.mode == "L":
                image = image.convert("RGB")
            if mode == image.mode:
                srgb = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
                image = converted or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image.convert("RGB")


def convert_floats(values: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Convert an image with more than 8 bits to sRGB.

    Profiles with curves and a matrix are applied in floating point. Profiles with a lookup table are applied by
    LittleCMS in 8 bits, because Pillow passes only 8 bits to it.

    Args:
        values: ``(h, w, 1)`` or ``(h, w, 3)`` float32 in [0, 1].
        profile: see :func:`convert_image`.

    Returns:
        ``(h, w, 3)`` float32 in [0, 1].
    """
    if profile:
        try:
            converted = _by_curves(values, profile)
        except (struct.error, ValueError, IndexError, KeyError, ZeroDivisionError, OverflowError):
            converted = None
        if converted is not None:
            return converted
        if _has_table(profile):
            levels = np.rint(values * 255).astype(np.uint8)
            image = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
            return np.asarray(convert_image(image, profile)) / np.float32(255)
    return values if values.shape[-1] == 3 else values.repeat(3, axis=-1)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return the contents of a profile's tags by signature; at most 100 tags are read."""
    count = struct.unpack(">I", profile[128:132])[0]
    entries = [struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i]) for i in range(min(count, 100))]
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _has_table(profile: bytes) -> bool:
    """Return True if a profile has a lookup table, or another connection space than XYZ."""
    try:
        return b"A2B0" in _tags(profile) or profile[20:24] != b"XYZ "
    except struct.error:
        return False


def _by_curves(values: np.ndarray, profile: bytes) -> np.ndarray | None:
    """Convert to sRGB with the profile's curves and matrix.

    Returns:
        ``(h, w, 3)``; None if the profile is of another kind, or for another color space than the image's.
    """
    tags = _tags(profile)
    if profile[20:24] != b"XYZ " or b"A2B0" in tags or profile[36:40] != b"acsp":
        return None
    if profile[16:20] == b"GRAY" and values.shape[-1] == 1:
        # The curve of a gray profile returns the luminance relative to white.
        return _encode(_curve(tags[b"kTRC"], values)).repeat(3, axis=-1)
    if profile[16:20] != b"RGB ":
        return None
    matrix = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
    curves = [tags[name] for name in (b"rTRC", b"gTRC", b"bTRC")]
    values = np.broadcast_to(values, (*values.shape[:2], 3))
    linear = np.stack([_curve(curve, values[..., i]) for i, curve in enumerate(curves)], axis=-1)
    return _encode(linear @ (np.linalg.inv(_SRGB_TO_XYZ) @ matrix).T.astype(np.float32))


def _xyz(tag: bytes) -> np.ndarray:
    """Return the XYZ values of an ``XYZ`` tag, ``(3,)``."""
    return np.array(struct.unpack(">3i", tag[8:20])) / 65536


def _curve(tag: bytes, values: np.ndarray) -> np.ndarray:
    """Return the linear light of encoded values, with a curve of type ``curv`` (10.5) or ``para`` (10.15)."""
    if tag[:4] == b"curv":
        count = struct.unpack(">I", tag[8:12])[0]
        if count == 0:
            return values
        table = np.frombuffer(tag, ">u2", count, 12).astype(np.float32)
        if count == 1:
            return values ** (table[0] / 256)
        return np.interp(values, np.linspace(0, 1, count), table / 65535).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError(tag[:4])
    kind = struct.unpack(">H", tag[8:10])[0]
    count = (1, 3, 4, 5, 7)[kind]
    given = np.array(struct.unpack(f">{count}i", tag[12 : 12 + 4 * count])) / 65536
    gamma, a, b, c, d, e, f = 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind == 0:
        (gamma,) = given
    elif kind in (1, 2):
        gamma, a, b = given[:3]
        d = -b / a
        e = f = given[3] if kind == 2 else 0.0
    elif kind == 3:
        gamma, a, b, c, d = given
    else:
        gamma, a, b, c, d, e, f = given
    power = np.maximum(a * values + b, 0) ** gamma + e
    return np.where(values >= d, power, c * values + f).astype(np.float32)


def _encode(linear: np.ndarray) -> np.ndarray:
    """Clip linear values to [0, 1] and apply the transfer function of sRGB (IEC 61966-2-1)."""
    linear = linear.clip(0, 1)
    curved = 1.055 * linear ** np.float32(1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved).astype(np.float32)
