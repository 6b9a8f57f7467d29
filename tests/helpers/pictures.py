"""Image files with a chosen color profile or a chosen declared size."""

import struct
import zlib


def profile_with_gamma(profile: bytes, gamma: float) -> bytes:
    """Return an ICC profile with the same primaries and tone curves of a given gamma (ICC.1:2010, 10.5)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    count = struct.unpack(">I", profile[128:132])[0]
    result = bytearray(profile)
    for i in range(count):
        entry = 132 + 12 * i
        tag, _, _ = struct.unpack(">4sII", profile[entry : entry + 12])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            result[entry : entry + 12] = struct.pack(">4sII", tag, len(result), len(curve))
            result += curve
    result[0:4] = struct.pack(">I", len(result))
    return bytes(result)


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
