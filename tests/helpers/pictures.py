"""Image files with a chosen color profile or a chosen declared size, and animations of 16 bits."""

import io
import struct
import zlib

import numpy as np
import png


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


def deep_animation(frames: list[np.ndarray], **options: object) -> bytes:
    """Return an APNG of gray 16-bit frames ``(h, w)``, which Pillow cannot write; the options are pypng's."""
    chunks: list[tuple[bytes, bytes]] = []
    count = 0  # of the chunks fcTL and fdAT, which are numbered
    for number, frame in enumerate(frames):
        height, width = frame.shape
        still = io.BytesIO()
        png.Writer(width, height, greyscale=True, bitdepth=16, **options).write(still, frame)
        own = list(png.Reader(bytes=still.getvalue()).chunks())
        if number == 0:
            chunks += [chunk for chunk in own if chunk[0] not in (b"IDAT", b"IEND")]
            chunks.append((b"acTL", struct.pack(">II", len(frames), 0)))
        chunks.append((b"fcTL", struct.pack(">5I2H2B", count, width, height, 0, 0, 1, 20, 0, 0)))
        count += 1
        for _, data in (chunk for chunk in own if chunk[0] == b"IDAT"):
            if number == 0:
                chunks.append((b"IDAT", data))
            else:
                chunks.append((b"fdAT", struct.pack(">I", count) + data))
                count += 1
    file = io.BytesIO()
    png.write_chunks(file, [*chunks, (b"IEND", b"")])
    return file.getvalue()
