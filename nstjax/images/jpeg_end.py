"""Checks whether a JPEG without an end marker contains all of its pixels."""

import io

import numpy as np
from PIL import Image, JpegImagePlugin

_END = b"\xff\xd9"
# After a complete scan, decoders skip these bytes. After an incomplete scan they decode each filling to other pixels.
_FILLINGS = (b"\0" * 64, b"\xaa" * 64, b"\x5a\xb5" * 32)
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_FRAMES = {0xC0, 0xC1, 0xC3, 0xC5, 0xC7, 0xC9, 0xCB, 0xCD, 0xCF, *_PROGRESSIVE}
_SCAN = 0xDA


def complete_jpeg(data: bytes) -> Image.Image | None:
    """Decode a JPEG that ends without an end marker (EOI).

    Pillow rejects such a file, although often only the last two bytes are missing. libjpeg decodes it if a
    marker is appended, but it also decodes a file that lost half of its pixels. This function therefore inserts
    different bytes between the data and the marker: they change the image if and only if pixels are missing.

    Args:
        data: the complete file.

    Returns:
        The decoded image at full size; None if pixels are missing or the file has other damage.
    """
    # A fill byte or half of the marker: together with the next byte it would form another marker.
    data = data.rstrip(b"\xff")
    if not _scans_are_complete(data):
        return None
    pictures = []
    for filling in _FILLINGS:
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data + filling + _END))
        picture.load()
        pictures.append(picture)
    first = np.asarray(pictures[0])
    if all(np.array_equal(first, np.asarray(other)) for other in pictures[1:]):
        return pictures[0]
    return None


def _scans_are_complete(data: bytes) -> bool:
    """Return True if the scans contain every coefficient of every component (ITU-T T.81, B.2.3)."""
    missing: dict[int, np.ndarray] = {}  # for each component, flags of its 64 coefficients
    progressive = False
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF, *range(0xD0, 0xD8)):
            at = data.find(b"\xff", at + 1)  # entropy-coded data, a fill byte or a restart marker
            if at < 0:
                break
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            progressive = marker in _PROGRESSIVE
            missing = {segment[6 + 3 * i]: np.ones(64, bool) for i in range(segment[5])}
        elif marker == _SCAN:
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            for i in range(count):
                if not progressive:
                    missing[segment[1 + 2 * i]][:] = False
                elif bits & 15 == 0:  # down to the lowest bit
                    missing[segment[1 + 2 * i]][first : last + 1] = False
        at += 2 + length
    return bool(missing) and not any(flags.any() for flags in missing.values())
