"""Decoding of every kind of file: by its content, by its tags, whole or refused in one sentence."""

import io
import os
import shutil
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageCms, features

import nstjax
from nstjax import free_memory
from nstjax.data.folder import find_photographs
from nstjax.errors import InputError, InputWarning
from nstjax.images import find_images, load_image
from nstjax.images.animation import open_animation
from nstjax.images.folder import Skipped, skipped_lines
from nstjax.images.formats import HEAD, recognise
from nstjax.images.io import _block_mean, decode_image, load_with_alpha
from nstjax.images.masks import read_masks
from nstjax.images.opening import MAX_PIXELS, open_file, open_image
from tests.helpers.pictures import png_of_size, profile_with_gamma

RNG = np.random.default_rng(0)
H, W = 12, 20
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def smooth(h: int = 48, w: int = 64, channels: int = 3) -> np.ndarray:
    """A photograph stand-in, uint8."""
    y, x = np.mgrid[0:h, 0:w] / w
    waves = np.stack([np.sin((3 + i) * x + (5 - i) * y + 9 * x * y) for i in range(channels)], -1)
    return np.rint(127.5 + 127 * waves).astype(np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(smooth())).save(buffer, kind, **options)
    return buffer.getvalue()


# Format, by Pillow's name, and by the name here.
FORMATS = [
    ("JPEG", "JPEG"),
    ("PNG", "PNG"),
    ("WEBP", "WebP"),
    ("TIFF", "TIFF"),
    ("GIF", "GIF"),
    ("BMP", "BMP"),
    pytest.param("AVIF", "AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="no AVIF here")),
    ("JPEG2000", "JPEG 2000"),
    ("PPM", "PPM"),
    ("TGA", "TGA"),
    ("ICO", "ICO"),
]


@pytest.mark.parametrize(("format_", "kind"), FORMATS)
def test_formats_are_recognised_and_read(tmp_path: Path, format_: str, kind: str) -> None:
    path = tmp_path / ("a.tga" if kind == "TGA" else "a.jpg")  # TGA alone has no signature
    path.write_bytes(encoded(format_, Image.fromarray(smooth(64, 64))))
    assert recognise(path.read_bytes()[:HEAD], path.name) == kind
    assert np.abs(load_image(path)[0] - smooth(64, 64) / 255).mean() < 0.05


@pytest.mark.parametrize(("format_", "kind"), FORMATS)
def test_damage_is_refused_in_one_sentence_or_read(tmp_path: Path, format_: str, kind: str) -> None:
    """Whatever a decoder raises. Bytes are changed at random, in the header above all."""
    whole = encoded(format_, Image.fromarray(smooth(24, 32)))
    rng = np.random.default_rng(3)
    path = tmp_path / f"damaged.{'tga' if kind == 'TGA' else 'jpg'}"
    refused = 0
    for trial in range(40):
        data = bytearray(whole)
        end = 64 if trial % 2 else len(data)
        for at in rng.integers(4, max(5, min(end, len(data))), 6):
            data[at] = rng.integers(256)
        if trial % 5 == 0:
            data = data[: rng.integers(len(data))]
        path.write_bytes(data)
        message = ""
        try:
            load_image(path)
        except InputError as error:
            message = str(error)
        assert message == "" or message.startswith(f"{path} ")
        assert "\n" not in message
        refused += bool(message)
    assert refused > 5


class TestPrograms:
    """A picture never runs a program: Pillow gives PostScript to Ghostscript."""

    @pytest.fixture
    def ran(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A Ghostscript that leaves a file behind."""
        folder, ran = tmp_path / "bin", tmp_path / "ran"
        folder.mkdir()
        (folder / "gs").write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
        (folder / "gs").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # forgotten, so that it is searched again
        return ran

    @pytest.mark.parametrize(
        "head", [b"", b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 32, len(EPS), 0, 0, 0, 0)]
    )
    def test_postscript_under_the_name_of_a_photograph(self, tmp_path: Path, ran: Path, head: bytes) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(head.ljust(32, b"\0") + EPS if head else EPS)
        image = np.zeros((1, H, W, 3), np.float32)
        doors: list[Callable[[], object]] = [
            lambda: load_image(path),
            lambda: load_with_alpha(path),
            lambda: decode_image(io.BytesIO(path.read_bytes()), str(path), 8),
            lambda: read_masks([str(path)], image),
            lambda: read_masks([f"labels:{path}"], image),
            lambda: open_animation(path),
        ]
        for door in doors:
            with pytest.raises(
                InputError, match=r"photo\.jpg is a PostScript file, which nstjax does not read"
            ):
                door()
        assert not ran.exists()

    def test_the_stand_in_is_run_where_nothing_hinders_it(self, tmp_path: Path, ran: Path) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(EPS)
        with Image.open(path) as image, pytest.raises(Exception, match=r".*"):
            image.load()
        assert ran.exists()


def test_no_module_opens_images_by_itself() -> None:
    package = Path(nstjax.__file__).parent
    paths = [*package.rglob("*.py"), *(package.parent / "experiments").rglob("*.py")]
    assert [path for path in paths if "Image.open(" in path.read_text()] == []


@pytest.mark.parametrize(
    ("head", "phrase"),
    [
        (b"DDS " + bytes(124), "is a DDS file, which nstjax does not read: save it as JPEG"),
        (b"BLP2" + bytes(200), "is a BLP file"),
        (b"8BPS\0\1" + bytes(60), "is a Photoshop file"),
        (b"%PDF-1.7\n", "is a PDF file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG file"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "is a video file"),
        (b"hello, world", "is not an image that can be read"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, head: bytes, phrase: str) -> None:
    (tmp_path / "a.png").write_bytes(head)
    with pytest.raises(InputError) as caught:
        load_image(tmp_path / "a.png")
    assert phrase in str(caught.value)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def test_heic_is_named_where_its_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)  # as where it is not installed
    (tmp_path / "a.HEIC").write_bytes(HEIC)
    with pytest.raises(InputError, match=r"a\.HEIC is a HEIC image: pip install 'nstjax\[heic\]'"):
        load_image(tmp_path / "a.HEIC")


def test_heic_is_read_where_its_package_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(smooth())).save(tmp_path / "a.heic", quality=90)
    assert np.abs(load_image(tmp_path / "a.heic")[0] - smooth() / 255).mean() < 0.05


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0\xde\xad\xbe\xef" * 4, b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*"]
)
def test_malformed_metadata_are_ignored(tmp_path: Path, name: str, exif: bytes) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(smooth()).save(tmp_path / f"plain-{name}", **options)
    Image.fromarray(smooth()).save(tmp_path / name, exif=exif, **options)
    assert exif[6:] in (tmp_path / name).read_bytes()
    np.testing.assert_array_equal(load_image(tmp_path / name), load_image(tmp_path / f"plain-{name}"))


class TestJpegWithoutEnd:
    KINDS = (
        {},
        {"progressive": True},
        {"subsampling": 0, "quality": 50},
        {"restart_marker_rows": 1},
        {"mode": "L"},
        {"mode": "CMYK"},
    )

    @staticmethod
    def whole(kind: dict, h: int = 48, w: int = 64) -> bytes:
        kind = dict(kind)
        return encoded("JPEG", Image.fromarray(smooth(h, w)).convert(kind.pop("mode", "RGB")), **kind)

    @pytest.mark.parametrize("kind", KINDS, ids=str)
    @pytest.mark.parametrize("size", [(48, 64), (33, 41)])
    def test_all_pixels_are_there(self, tmp_path: Path, kind: dict, size: tuple[int, int]) -> None:
        data = self.whole(kind, *size)
        assert data.endswith(b"\xff\xd9")
        wanted = decode_image(io.BytesIO(data), "whole")
        for rest in (b"", b"\xff", bytes(100)):
            np.testing.assert_array_equal(decode_image(io.BytesIO(data[:-2] + rest), "cut"), wanted)

    @pytest.mark.parametrize("kind", KINDS, ids=str)
    @pytest.mark.parametrize("kept", [0.5, 0.9, -40, -12, -5])
    def test_pixels_are_missing(self, kind: dict, kept: float) -> None:
        data = self.whole(kind)
        cut = data[: int(len(data) * kept)] if kept > 0 else data[: int(kept)]
        with pytest.raises(InputError, match="cut is a damaged or truncated image"):
            decode_image(io.BytesIO(cut), "cut")

    def test_whole_scans_are_missing(self) -> None:
        data = self.whole({"progressive": True})
        scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
        tables = data.rfind(b"\xff\xc4", 0, scans[-1])  # which belong to the last scan
        for end in (scans[-1], tables):
            with pytest.raises(InputError, match="truncated"):
                decode_image(io.BytesIO(data[:end]), "cut")


@pytest.mark.filterwarnings("ignore:.*transparent pixels")
def test_deep_png(tmp_path: Path) -> None:
    """16 bits of every colour type, by pypng's encoder."""
    path = tmp_path / "a.png"
    for interlace in (False, True):
        for grey in (False, True):
            for alpha in (False, True):
                channels = (1 if grey else 3) + alpha
                samples = RNG.integers(0, 65536, (H, W, channels)).astype(np.uint16)
                writer = png.Writer(W, H, greyscale=grey, alpha=alpha, bitdepth=16, interlace=interlace)
                with path.open("wb") as file:
                    writer.write(file, samples.reshape(H, -1))
                values = samples.astype(np.float64) / 65535
                colours = values[..., : channels - alpha]
                opacity = values[..., -1:] if alpha else np.ones((H, W, 1))
                wanted = np.broadcast_to(colours * opacity + 1 - opacity, (H, W, 3))
                np.testing.assert_allclose(load_image(path)[0], wanted, atol=2e-6)


@pytest.mark.filterwarnings("ignore:.*transparent pixels")
def test_deep_png_with_a_transparent_colour(tmp_path: Path) -> None:
    samples = RNG.integers(1, 65536, (H, W, 3)).astype(np.uint16)
    samples[0] = (1000, 2000, 3000)
    samples[1] = (1001, 2000, 3000)  # the same in 8 bits
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(W, H, greyscale=False, bitdepth=16, transparent=(1000, 2000, 3000)).write(
            file, samples.reshape(H, -1)
        )
    found = load_image(tmp_path / "a.png")[0]
    np.testing.assert_array_equal(found[0], 1)
    np.testing.assert_allclose(found[1:], samples[1:] / 65535, atol=2e-6)


def test_a_photograph_of_16_bits_keeps_them(tmp_path: Path) -> None:
    image = np.linspace(0.25, 0.26, H * W * 3).reshape(1, H, W, 3)  # three steps of 8 bits
    for name in ("a.png", "a.tiff"):
        nstjax.save_image(tmp_path / name, image, bits=16)
        np.testing.assert_allclose(load_image(tmp_path / name), image, atol=0.6 / 65535)


def tiff(path: Path, samples: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, samples, **options)
    return path


class TestTiff:
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("layout", [{"rowsperstrip": 3}, {"tile": (16, 16)}, {"compression": "zlib"}])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.float32, np.float64])
    def test_colours(self, tmp_path: Path, planar: str, order: str, layout: dict, dtype: type) -> None:
        values = RNG.uniform(size=(H, W, 3))
        top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else None
        samples = np.rint(values * top).astype(dtype) if top else values.astype(dtype)
        stored = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
        path = tiff(
            tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, byteorder=order, **layout
        )
        np.testing.assert_allclose(load_image(path)[0], samples / top if top else samples, atol=2e-7)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_black_and_white(self, tmp_path: Path, dtype: type) -> None:
        top = np.iinfo(dtype).max
        samples = RNG.integers(0, top + 1, (H, W)).astype(dtype)
        for photometric, wanted in (("minisblack", samples / top), ("miniswhite", 1 - samples / top)):
            found = load_image(tiff(tmp_path / "a.tif", samples, photometric=photometric))[0]
            np.testing.assert_allclose(found, np.repeat(wanted[..., None], 3, -1), atol=1e-6)

    @pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
    @pytest.mark.filterwarnings("ignore:.*transparent pixels")
    def test_alpha(self, tmp_path: Path, kind: str) -> None:
        alpha = RNG.uniform(0.1, 1, (H, W, 1))
        colours = RNG.uniform(size=(H, W, 3))
        stored = colours * alpha if kind == "assocalpha" else colours
        samples = np.rint(np.concatenate([stored, alpha], -1) * 65535).astype(np.uint16)
        path = tiff(tmp_path / "a.tif", samples, photometric="rgb", extrasamples=[kind])
        wanted = colours if kind == "unspecified" else colours * alpha + 1 - alpha
        np.testing.assert_allclose(load_image(path)[0], wanted, atol=1e-4)

    def test_inks(self, tmp_path: Path) -> None:
        inks = RNG.integers(0, 256, (H, W, 4)).astype(np.uint8)
        shallow = tiff(tmp_path / "8.tif", inks, photometric="separated")
        deep = tiff(tmp_path / "16.tif", inks.astype(np.uint16) * 257, photometric="separated")
        np.testing.assert_allclose(load_image(deep), load_image(shallow), atol=1e-6)

    @pytest.mark.parametrize(
        ("samples", "options", "phrase"),
        [
            (np.arange(H * W, dtype=np.int16).reshape(H, W), {}, "signed or complex values"),
            (np.arange(H * W, dtype=np.int8).reshape(H, W), {}, "signed or complex values"),
            (np.ones((H, W), np.complex64), {}, "signed or complex values"),
            (np.full((H, W), 255, np.uint16), {}, "has 16 bits but no value over 255 of 65535"),
            (np.full((H, W), 255, np.uint32), {}, "has 32 bits but no value over 255 of 4294967295"),
            (np.full((H, W, 3), 2, np.float32), {"photometric": "rgb"}, "values outside [0, 1]"),
            (np.full((H, W, 3), np.nan, np.float32), {"photometric": "rgb"}, "values outside [0, 1]"),
            (np.ones((H, W, 3), np.uint16), {"photometric": "cielab"}, "has colors of CIELab in 16 bits"),
            (np.ones((H, W, 3), np.uint8), {"photometric": "cielab"}, "has colors of CIELab in 8 bits"),
            (np.ones((H, W), np.uint16), {"photometric": "cfa"}, "is a camera RAW file"),
        ],
    )
    def test_what_has_no_certain_meaning_is_refused(
        self, tmp_path: Path, samples: np.ndarray, options: dict, phrase: str
    ) -> None:
        with pytest.raises(InputError) as caught:
            load_image(tiff(tmp_path / "a.tif", samples, **({"photometric": "minisblack"} | options)))
        assert phrase in str(caught.value)
        assert str(caught.value).startswith(str(tmp_path / "a.tif"))

    def test_values_of_8_bits_in_a_png_of_16(self, tmp_path: Path) -> None:
        Image.fromarray(np.full((H, W), 200, np.uint16)).save(tmp_path / "a.png")
        with pytest.raises(InputError, match="16 bits but no value over 200 of 65535, which is nearly black"):
            load_image(tmp_path / "a.png")
        Image.fromarray(np.zeros((H, W), np.uint16)).save(tmp_path / "a.png")
        np.testing.assert_array_equal(load_image(tmp_path / "a.png"), 0)  # black is black

    @pytest.mark.parametrize("layout", [{"rowsperstrip": 3}, {"compression": "zlib", "rowsperstrip": 3}])
    def test_missing_rows(self, tmp_path: Path, layout: dict) -> None:
        """tifffile puts zeros for them."""
        path = tiff(tmp_path / "a.tif", RNG.integers(0, 65536, (H, W, 3)).astype(np.uint16), **layout)
        whole = path.read_bytes()
        path.write_bytes(whole[:-30])
        with pytest.raises(InputError, match="truncated"):
            load_image(path)

    def test_orientation(self, tmp_path: Path) -> None:
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            grey = smooth(channels=1)[..., 0]
            Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
            tag = [(0x0112, "H", 1, orientation, True)]
            deep = tiff(
                tmp_path / "a.tif", grey.astype(np.uint16) * 257, extratags=tag, photometric="minisblack"
            )
            np.testing.assert_allclose(load_image(deep), load_image(tmp_path / "a.png"), atol=1e-6)
            Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "b.png", exif=exif)
            np.testing.assert_allclose(load_image(tmp_path / "b.png"), load_image(deep), atol=1e-6)
            packed = tmp_path / "b.tif"
            Image.fromarray(grey.astype(np.uint16) * 257).save(packed, compression="tiff_lzw", exif=exif)
            np.testing.assert_allclose(load_image(packed), load_image(deep), atol=1e-6)

    def test_compressed_colours_keep_16_bits(self, tmp_path: Path) -> None:
        """LZW, which tifffile reads with imagecodecs only, and Pillow to 8 bits."""
        samples = RNG.integers(0, 65536, (H, W, 3)).astype("<u2")
        # Stored as 8 bits of twice the width; then the tags are changed to what the bytes are.
        shallow = Image.fromarray(samples.view(np.uint8).reshape(H, 2 * W, 3))
        data = bytearray(encoded("TIFF", shallow, compression="tiff_lzw"))
        start = struct.unpack_from("<I", data, 4)[0]
        for i in range(struct.unpack_from("<H", data, start)[0]):
            at = start + 2 + 12 * i
            code, _, _, value = struct.unpack_from("<HHII", data, at)
            if code == 256:
                struct.pack_into("<I", data, at + 8, W)
            elif code == 258:
                struct.pack_into("<3H", data, value, 16, 16, 16)
        (tmp_path / "a.tif").write_bytes(data)
        np.testing.assert_allclose(load_image(tmp_path / "a.tif")[0], samples / 65535, atol=1e-6)


def grey_profile(gamma: float) -> bytes:
    """A grey profile with one curve (ICC.1:2010, 8.5.2)."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"text" + bytes(4) + b"grey\0" + bytes(3)
    tags, at, body = [], 128 + 4 + 12 * 4, b""
    for name, content in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text), (b"cprt", text)):
        tags.append(struct.pack(">4sII", name, at + len(body), len(content)))
        body += content
    header = bytearray(128)
    struct.pack_into(">I4sI4s4s4s", header, 0, at + len(body), b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header[36:40] = b"acsp"
    struct.pack_into(">3i", header, 68, 63190, 65536, 54061)
    return bytes(header) + struct.pack(">I", 4) + b"".join(tags) + body


def srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def iccp(path: Path, profile: bytes) -> None:
    """Put a profile into a PNG, as pypng does not."""
    chunks = list(png.Reader(bytes=path.read_bytes()).chunks())
    chunks.insert(1, (b"iCCP", b"x\0\0" + zlib.compress(profile)))
    with path.open("wb") as file:
        png.write_chunks(file, chunks)


class TestProfiles:
    def test_grey(self, tmp_path: Path) -> None:
        profile, path = grey_profile(1.0), tmp_path / "a.png"
        values = np.linspace(0, 1, H * W).reshape(H, W)
        wanted = np.repeat(srgb(values)[..., None], 3, -1)
        for name, bits, alpha in (("L", 8, False), ("LA", 8, True), ("L", 16, False), ("LA", 16, True)):
            top = 2**bits - 1
            samples = np.rint(values * top)[..., None]
            if alpha:
                samples = np.concatenate([samples, np.full_like(samples, top)], -1)
            with path.open("wb") as file:
                png.Writer(W, H, greyscale=True, alpha=alpha, bitdepth=bits).write(
                    file, samples.reshape(H, -1).astype(np.uint8 if bits == 8 else np.uint16)
                )
            iccp(path, profile)
            tolerance = 0.007 if bits == 8 else 1e-3  # near black sRGB is 13 times as steep
            np.testing.assert_allclose(
                load_image(path)[0], wanted, atol=max(tolerance, 12.92 / top), err_msg=f"{name} {bits}"
            )
        deep = tiff(
            tmp_path / "a.tif",
            np.rint(values * 65535).astype(np.uint16),
            photometric="minisblack",
            iccprofile=profile,
        )
        np.testing.assert_allclose(load_image(deep)[0], wanted, atol=1e-3)

    def test_a_grey_image_with_a_profile_of_colours(self, tmp_path: Path) -> None:
        gamma_one = profile_with_gamma(
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), 1.0
        )
        Image.new("L", (4, 4), 55).save(tmp_path / "a.png", icc_profile=gamma_one)
        np.testing.assert_allclose(load_image(tmp_path / "a.png"), srgb(np.array(55 / 255)), atol=0.01)

    @pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
    def test_sixteen_bits_agree_with_littlecms(self, tmp_path: Path, gamma: float) -> None:
        profile = bytearray(
            profile_with_gamma(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), gamma)
        )
        at = profile.index(b"rXYZ", 128)  # a redder red, so that the matrix matters
        offset = struct.unpack_from(">I", profile, at + 4)[0]
        red = np.array(struct.unpack_from(">3i", profile, offset + 8))
        struct.pack_into(">3i", profile, offset + 8, *(red * [1.1, 0.9, 0.8]).astype(int))
        levels = smooth()
        Image.fromarray(levels).save(tmp_path / "8.png", icc_profile=bytes(profile))
        deep = tiff(
            tmp_path / "a.tif", levels.astype(np.uint16) * 257, iccprofile=bytes(profile), photometric="rgb"
        )
        shallow = load_image(tmp_path / "8.png")
        assert np.abs(shallow[0] - levels / 255).max() > 0.01  # it changes the picture
        np.testing.assert_allclose(load_image(deep), shallow, atol=1.6 / 255)

    def test_a_broken_profile_is_ignored(self, tmp_path: Path) -> None:
        samples = RNG.integers(0, 65536, (H, W, 3)).astype(np.uint16)
        for profile in (b"x", b"not a profile" * 20, grey_profile(1.0)[:150], grey_profile(1.0)):
            deep = tiff(tmp_path / "a.tif", samples, photometric="rgb", iccprofile=profile)
            np.testing.assert_allclose(load_image(deep)[0], samples / 65535, atol=1e-6)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, format_ in (
            *(
                ("a.jfif", "JPEG"),
                ("b.jpe", "JPEG"),
                ("c.jp2", "JPEG2000"),
                ("d.gif", "GIF"),
                ("e.ppm", "PPM"),
            ),
            *(("f.tga", "TGA"), ("plain", "PNG"), ("odd.dat", "WEBP"), ("j.JPG", "JPEG")),
        ):
            (tmp_path / name).write_bytes(encoded(format_))
        (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
        (tmp_path / "drawing.eps").write_bytes(EPS)
        (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")
        for name in ("notes.txt", "Thumbs.db"):
            (tmp_path / name).write_bytes(b"nothing to see")
        (tmp_path / ".hidden.png").write_bytes(encoded("PNG"))
        (tmp_path / "damaged.png").write_bytes(b"")
        return tmp_path

    PICTURES = (
        "a.jfif",
        "b.jpe",
        "c.jp2",
        "d.gif",
        "damaged.png",
        "e.ppm",
        "f.tga",
        "j.JPG",
        "odd.dat",
        "plain",
    )

    def test_pictures_are_found_by_their_content(self, folder: Path) -> None:
        skipped: list[Skipped] = []
        names = [path.name for path in find_images(folder, skipped) if path.name != "IMG_1.HEIC"]
        assert names == sorted(self.PICTURES)
        reasons = {one.path.name: one.reason for one in skipped}
        assert "PostScript" in reasons["drawing.eps"]
        assert "video" in reasons["clip.mp4"]
        assert reasons["notes.txt"] == reasons["Thumbs.db"] == "is not an image"
        lines = skipped_lines(skipped)
        assert "skipped Thumbs.db, notes.txt: each is not an image" in lines

    def test_heic_is_skipped_by_name_where_it_is_not_read(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
        skipped: list[Skipped] = []
        find_images(folder, skipped)
        assert any("IMG_1.HEIC: it is a HEIC image: pip install" in line for line in skipped_lines(skipped))

    def test_training_data_are_found_alike(self, folder: Path) -> None:
        with pytest.warns(InputWarning) as caught:
            found = find_photographs(folder)
        assert [name for name in found if name != "IMG_1.HEIC"] == sorted(self.PICTURES)
        assert any("drawing.eps: it is a PostScript file" in str(one.message) for one in caught)

    def test_a_folder_of_other_files_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "a.psd").write_bytes(b"8BPS\0\1" + bytes(60))
        with pytest.raises(InputError, match=r"has no image \(a\.psd is a Photoshop file"):
            find_images(tmp_path)


class TestLarge:
    def test_block_means(self) -> None:
        for dtype in (np.uint16, np.float32):
            samples = (RNG.uniform(size=(23, 31, 2)) * 60000).astype(dtype)
            found = _block_mean(samples, 5)
            assert found.shape == (5, 7, 2)
            assert found.dtype == dtype
            for i in range(5):
                for j in range(7):
                    block = samples[5 * i : 5 * i + 5, 5 * j : 5 * j + 5].astype(np.float64)
                    np.testing.assert_allclose(
                        found[i, j], block.mean((0, 1)), atol=0.5 if dtype == np.uint16 else 0.01
                    )

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "deep.png"])
    def test_large_images_are_reduced_where_little_is_needed(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        side = 1200
        monkeypatch.setattr("nstjax.images.io.LARGE_PIXELS", side**2 - 1)  # in place of 34 million
        y, x = np.ogrid[:side, :side]
        picture = ((x // 300 + y // 300) % 2 * 255).astype(np.uint8)
        if name == "deep.png":
            Image.fromarray(picture.astype(np.uint16) * 257).save(tmp_path / name, compress_level=1)
        else:
            Image.fromarray(picture).save(tmp_path / name)
        found = load_image(tmp_path / name, 30)
        assert 120 <= found.shape[1] <= 300
        assert found.shape[1] == found.shape[2]
        centre = found.shape[1] * np.array([1, 3, 5, 7]) // 8
        np.testing.assert_allclose(
            found[0][centre[:, None], centre][..., 0], np.indices((4, 4)).sum(0) % 2, atol=0.01
        )
        assert abs(found.mean() - 0.5) < 0.01

    @pytest.mark.filterwarnings("ignore:.*transparent pixels")
    @pytest.mark.parametrize("name", ["a.png", "straight.tif", "float.tif"])
    def test_colors_of_transparent_pixels_stay_hidden_in_reduced_images(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        samples = RNG.integers(0, 65536, (48, 48, 4)).astype(np.uint16)
        samples[::2, :, 3] = 0
        samples[:9, :9, 3] = 0
        if name == "a.png":
            with (tmp_path / name).open("wb") as file:
                png.Writer(48, 48, greyscale=False, alpha=True, bitdepth=16).write(
                    file, samples.reshape(48, -1)
                )
        else:
            if name == "float.tif":
                samples = samples / np.float32(65535)
            tiff(tmp_path / name, samples, photometric="rgb", extrasamples=["unassalpha"])
        whole = load_image(tmp_path / name)[0]
        monkeypatch.setattr("nstjax.images.io.LARGE_PIXELS", 48**2 - 1)  # in place of 34 million
        found = load_image(tmp_path / name, 4)[0]
        np.testing.assert_allclose(found, whole.reshape(16, 3, 16, 3, 3).mean((1, 3)), atol=1e-4)

    def test_images_that_are_not_large_stay_as_they_are(self, tmp_path: Path) -> None:
        Image.fromarray(smooth(400, 600)).save(tmp_path / "a.jpg")
        np.testing.assert_array_equal(load_image(tmp_path / "a.jpg", 8), load_image(tmp_path / "a.jpg"))

    def test_two_hundred_megapixels_are_opened_and_bombs_are_not(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(png_of_size(16320, 12240))
        with open_file(path, "a") as (stream, kind):
            assert open_image(stream, kind, "a").size == (16320, 12240)
        path.write_bytes(png_of_size(16384, MAX_PIXELS // 16384 + 1))
        with pytest.raises(InputError, match=f"more than {MAX_PIXELS:,} pixels"):
            load_image(path)
        tiff(tmp_path / "a.tif", np.zeros((8, 8), np.uint16))
        data = bytearray((tmp_path / "a.tif").read_bytes())
        start = struct.unpack_from("<I", data, 4)[0]
        for i in range(2):  # width and height
            struct.pack_into("<HHII", data, start + 2 + 12 * i, 256 + i, 4, 1, 60000)
        tags = [struct.unpack_from("<H", data, start + 2 + 12 * i)[0] for i in range(2)]
        assert tags == [256, 257]
        (tmp_path / "a.tif").write_bytes(data)
        with pytest.raises(InputError, match="more than"):
            load_image(tmp_path / "a.tif")

    def test_memory_that_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import psutil

        real = psutil.virtual_memory()
        monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=2**30))
        (tmp_path / "a.png").write_bytes(png_of_size(16320, 12240))
        with pytest.raises(
            InputError, match=r"a\.png has 16320×12240 pixels, which need about .* GiB to decode"
        ):
            load_image(tmp_path / "a.png")

    def test_a_tiff_in_a_control_group(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tiff(tmp_path / "a.tif", np.zeros((300, 200, 3), np.uint16))
        monkeypatch.setattr(free_memory, "cgroup_bytes", lambda root=None: 2.5e6)
        with pytest.raises(InputError, match=r"a\.tif has 200×300 pixels, which need about .* to decode"):
            load_image(tmp_path / "a.tif")
        monkeypatch.setattr(free_memory, "cgroup_bytes", lambda root=None: 4e6)
        assert load_image(tmp_path / "a.tif").shape == (1, 300, 200, 3)


REFUSED = {
    "eps_named.jpg": "is a PostScript file",
    "avif_traceback.jpg": "is a damaged or truncated image",
    "blp_traceback.jpg": "is a BLP file",
    "dds_traceback.jpg": "is a DDS file",
    "int16.tif": "has signed or complex values",
    "uint16_255.tif": "has 16 bits but no value over 252",
}


@pytest.mark.shared
def test_the_cases_beside_the_checkout(shared: Path, tmp_path: Path) -> None:
    """Files that once were read wrongly, or ended in a traceback."""
    cases = shared / "cases"
    if not cases.exists():
        pytest.skip(f"{cases} is not here")
    for name, phrase in REFUSED.items():
        shutil.copy(cases / name, tmp_path)
        began = time.perf_counter()
        with pytest.raises(InputError) as caught:
            load_image(tmp_path / name)
        assert phrase in str(caught.value), name
        assert time.perf_counter() - began < 20
    assert {path.name for path in tmp_path.iterdir()} == set(REFUSED)
    base = load_image(cases / "planar16_strips.tif")  # the same picture in several files
    for name, tolerance in (("bad_exif.png", 0.5 / 255), ("bad_exif.webp", 0.03), ("noeoi_base.jpg", 0.03)):
        assert np.abs(load_image(cases / name) - base).mean() < tolerance, name
    luma = base[0] @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(load_image(cases / "uint32.tif")[0, ..., 0], luma, atol=1.5 / 255)
    np.testing.assert_allclose(load_image(cases / "greylin16.png")[0, ..., 0], luma, atol=1.5 / 255)
    photo = load_image(cases / "photo.png")
    with pytest.warns(InputWarning):
        cutout, zero_one = (
            read_masks([str(cases / f"{name}.png")], photo)[0].values for name in ("cutout_rgba", "zero_one")
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        np.testing.assert_array_equal(cutout, zero_one)
    assert cutout[-30:].max() == 0  # the ground
    assert photo[0][cutout == 1].mean() > 0.4 + photo[0][cutout == 0].mean()  # the sky is bright
