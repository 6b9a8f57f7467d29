"""Recognizes image formats by the first bytes of a file."""

from pathlib import Path

HEAD = 64  # bytes to read from the beginning of a file

# From a file's format to the Pillow plugin that decodes it. No other format is decoded: some of Pillow's plugins
# run other programs (EPS runs Ghostscript), and many are rarely tested.
READABLE = {
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "WebP": ("WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "JPEG 2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "TGA": ("TgaImagePlugin", "TgaImageFile"),
    "ICO": ("IcoImagePlugin", "IcoImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),  # from the extra "heic"
}
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff", ".gif", ".bmp"),
    *(".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"),
    *(".heic", ".heif", ".hif"),
)
_TGA_SUFFIXES = (".tga", ".icb", ".vda", ".vst")
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0\x10\0\0\0CR", "Canon raw"),
    (b"IIRO", "Olympus raw"),
    (b"IIU\0", "Panasonic raw"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"DDS ", "DDS"),
    (b"BLP1", "BLP"),
    (b"BLP2", "BLP"),
    (b"qoif", "QOI"),
    (b"gimp xcf", "GIMP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", "Fujifilm raw"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"icns", "Apple icon"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"<svg", "SVG"),
    (b"\x1a\x45\xdf\xa3", "video"),
    (b"\0\0\1\xba", "video"),
    (b"\0\0\1\xb3", "video"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_RIFF = {b"WEBP": "WebP", b"AVI ": "video", b"WAVE": "sound"}


def recognise(head: bytes, name: str = "") -> str | None:
    """Return the format of a file, such as ``"JPEG"``.

    Args:
        head: the first :data:`HEAD` bytes of the file.
        name: the file's name. It is used only for TGA, which has no signature.

    Returns:
        A key of :data:`READABLE`, the name of another known format, or None.
    """
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:2] == b"BM" and len(head) >= 18 and head[15:18] == b"\0\0\0":  # size of the second header
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3].isspace():
        return "PPM"
    if head.lstrip()[:4] == b"<svg" or b"<svg" in head:
        return "SVG"
    if Path(name).suffix.lower() in _TGA_SUFFIXES and len(head) >= 18 and head[1] in (0, 1):
        return "TGA"
    return None


def _iso_media(head: bytes) -> str:
    """Return the format of a file in ISO base media format (ISO/IEC 14496-12), which its brands determine."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(size, len(head)), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    return "Canon raw" if b"crx " in brands else "video"


def recognise_file(path: Path) -> str | None:
    """Return the format of a file on disk, as :func:`recognise` does; also None if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return recognise(file.read(HEAD), path.name)
    except OSError:
        return None
