"""Decoding, encoding and resampling, against Pillow and by hand."""

import io
import json
import math
from fractions import Fraction
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageCms

import nstjax
from nstjax.errors import InputWarning
from nstjax.images import (
    check_output,
    find_images,
    fit_long_side,
    load_image,
    median_filter,
    resize,
    save_gif,
    save_image,
)
from nstjax.images.animation import encode_animation, open_animation
from nstjax.images.encode import read_metadata, to_integers
from nstjax.images.resize import RESIZE_METHODS
from tests.helpers.pictures import deep_animation, png_of_size, profile_with_gamma

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(tmp_path: Path, image: Image.Image, name: str, **options) -> np.ndarray:
    path = tmp_path / name
    image.save(path, **options)
    return load_image(path)


def test_a_png_is_read_exactly(tmp_path: Path) -> None:
    found = saved(tmp_path, Image.fromarray(RGB), "a.png")
    assert found.shape == (1, 6, 9, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], RGB.astype(np.float32) / 255)


@pytest.mark.parametrize(("name", "options"), [("a.tif", {}), ("a.webp", {"lossless": True}), ("a.bmp", {})])
def test_other_lossless_formats(tmp_path: Path, name: str, options: dict) -> None:
    np.testing.assert_array_equal(
        saved(tmp_path, Image.fromarray(RGB), name, **options)[0], RGB / np.float32(255)
    )


def test_jpeg_is_near(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    found = saved(tmp_path, Image.fromarray(smooth), "a.jpg", quality=95)
    assert np.abs(found[0] - smooth / 255).max() < 0.05


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = RGB
    # What a camera stores for each value of the tag: the inverse of the display's operation.
    store = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = saved(tmp_path, Image.fromarray(np.ascontiguousarray(store(upright))), "a.png", exif=exif)
    np.testing.assert_array_equal(found[0], upright / np.float32(255))


@pytest.mark.filterwarnings("ignore:.*transparent pixels")
def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 255, 51]
    rgba[0, :, 0] = 255
    found = saved(tmp_path, Image.fromarray(rgba), "a.png")
    np.testing.assert_allclose(found[0, 0], [[1, 1, 1], [1, 0, 0], [1, 0.8, 0.8]], atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*transparent pixels")
def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    found = saved(tmp_path, Image.fromarray(grey), "grey.png")
    np.testing.assert_array_equal(found[0], np.repeat(grey[..., None], 3, -1) / np.float32(255))
    palette = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(
        saved(tmp_path, palette, "p.png")[0], np.asarray(palette.convert("RGB")) / np.float32(255)
    )
    assert set(np.unique(saved(tmp_path, Image.fromarray(grey > 99), "one.png"))) == {0.0, 1.0}
    la = Image.merge("LA", [Image.new("L", (2, 2), 0), Image.new("L", (2, 2), 0)])
    np.testing.assert_array_equal(saved(tmp_path, la, "la.png"), 1.0)
    transparent = Image.new("P", (2, 2), 0)
    transparent.putpalette([9, 9, 9])
    np.testing.assert_array_equal(saved(tmp_path, transparent, "t.png", transparency=0), 1.0)


def test_sixteen_bit_inputs(tmp_path: Path) -> None:
    deep = (RNG.uniform(size=(4, 5)) * 65535).astype(np.uint16)
    found = saved(tmp_path, Image.fromarray(deep), "deep.png")
    np.testing.assert_allclose(found[0, ..., 1], deep / 65535, atol=1e-6)
    found = saved(tmp_path, Image.fromarray(deep), "deep.tif")
    np.testing.assert_allclose(found[0, ..., 2], deep / 65535, atol=1e-6)
    colour = (RNG.uniform(size=(4, 5, 3)) * 65535).astype(np.uint16)
    with (tmp_path / "c.png").open("wb") as file:
        png.Writer(5, 4, greyscale=False, bitdepth=16).write(file, colour.reshape(4, -1))
    np.testing.assert_allclose(load_image(tmp_path / "c.png")[0], colour / 65535, atol=1 / 255)


def test_float_tiff(tmp_path: Path) -> None:
    values = RNG.uniform(size=(4, 5)).astype(np.float32)
    np.testing.assert_allclose(saved(tmp_path, Image.fromarray(values), "f.tif")[0, ..., 0], values)
    with pytest.raises(
        nstjax.InputError, match=r"f2.tif is a floating-point image with values outside \[0, 1\]"
    ):
        saved(tmp_path, Image.fromarray(values * 300), "f2.tif")


def test_cmyk(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = saved(tmp_path, cmyk, "a.jpg", quality=100)
    np.testing.assert_allclose(found.mean((0, 1, 2)), [1, 0, 0], atol=0.02)


def test_icc_profile_is_converted(tmp_path: Path) -> None:
    # A profile of sRGB itself changes nothing.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = saved(tmp_path, Image.fromarray(RGB), "s.png", icc_profile=srgb)
    np.testing.assert_allclose(found[0], RGB / 255, atol=1.5 / 255)
    gamma_one = profile_with_gamma(srgb, 1.0)
    grey = np.full((4, 4, 3), 55, np.uint8)
    found = saved(tmp_path, Image.fromarray(grey), "g.png", icc_profile=gamma_one)
    # 55/255 of linear light is sRGB's 1.055·L^(1/2.4) − 0.055.
    np.testing.assert_allclose(found, 1.055 * (55 / 255) ** (1 / 2.4) - 0.055, atol=0.01)
    found = saved(tmp_path, Image.fromarray(RGB), "b.png", icc_profile=b"not a profile")
    np.testing.assert_array_equal(found[0], RGB / np.float32(255))


def test_decompression_bombs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(60000, 60000))
    with pytest.raises(nstjax.InputError, match="more than 268,435,456 pixels"):
        load_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("name", "bits", "tolerance"),
    [
        ("a.png", 8, 0.5 / 255),
        ("a.tif", 8, 0.5 / 255),
        ("a.webp", 8, 0.12),
        ("a.jpg", 8, 0.12),
        ("a.png", 16, 0.5 / 65535),
        ("a.tiff", 16, 0.5 / 65535),
    ],
)
def test_what_is_written_is_read_back_with_its_settings(
    tmp_path: Path, name: str, bits: int, tolerance: float
) -> None:
    image = np.linspace(-0.1, 1.1, 16 * 16 * 3).reshape(1, 16, 16, 3)
    metadata = {"config": {"size": 16, "painter": "van Gogh — «é»"}}
    path = tmp_path / name
    save_image(path, image, metadata, bits=bits)
    if bits == 16:
        if path.suffix == ".png":
            rows = np.vstack(list(png.Reader(bytes=path.read_bytes()).read()[2])).reshape(16, 16, 3)
        else:
            rows = tifffile.imread(path)
        found = rows / 65535
    else:
        found = load_image(path)[0]
    assert np.abs(found - image[0].clip(0, 1)).max() <= tolerance + 1e-6
    if path.suffix == ".tiff" and bits == 16:
        with tifffile.TiffFile(path) as opened:
            text = opened.pages[0].description
    else:
        with Image.open(path) as opened:
            opened.load()
            text = opened.info.get("nstjax") or opened.getexif()[0x010E]
    assert json.loads(text) == metadata
    assert read_metadata(path) == metadata
    assert list(tmp_path.iterdir()) == [path]


def test_rounding_is_to_the_nearest() -> None:
    np.testing.assert_array_equal(to_integers(np.array([[[-1, 0.5 / 255 + 1e-6, 2]]])), [[[0, 1, 255]]])
    assert to_integers(np.ones((1, 2, 2, 3)), 16).max() == 65535


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(nstjax.InputError, match=r"cannot write .*a\.png: No space left on device"):
        save_image(path, np.ones((1, 2, 2, 3)))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_outputs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for path, bits, message in (
        (tmp_path / "a.xyz", 8, "no known suffix"),
        (tmp_path / "a.jpg", 16, "cannot hold 16 bits"),
        (tmp_path / "a.png", 12, "`bits` is 12"),
        (tmp_path / "none" / "a.png", 8, "does not exist"),
    ):
        with pytest.raises(nstjax.InputError, match=message):
            check_output(path, bits)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.ones((2, 4, 6, 3)),
            r"shape \(2, 4, 6, 3\): it must be \(1, height, width, 3\) or \(height, width, 3\)",
        ),
        (np.ones((1, 4, 6, 1)), r"shape \(1, 4, 6, 1\): it must be"),
        (np.ones((1, 1, 4, 6, 3)), r"shape \(1, 1, 4, 6, 3\): it must be"),
        (np.ones((4, 6)), r"shape \(4, 6\): it must be"),
        (np.ones((1, 0, 6, 3)), r"shape \(1, 0, 6, 3\): it must be"),
        (np.full((4, 6, 3), np.nan), "the image holds values that are not finite"),
        (np.full((1, 4, 6, 3), np.inf), "the image holds values that are not finite"),
        (np.ones((1, 4, 6, 3), np.uint8), "the image has type uint8"),
    ],
)
def test_arrays_that_are_no_image_are_not_written(tmp_path: Path, image: np.ndarray, message: str) -> None:
    good = np.zeros((1, 4, 6, 3))
    for write in (
        lambda: save_image(tmp_path / "a.png", image),
        lambda: save_image(tmp_path / "a.png", image, bits=16),
        lambda: save_image(tmp_path / "a.jpg", image),
        lambda: save_gif(tmp_path / "a.gif", [good, image]),
        lambda: encode_animation(tmp_path / "a.gif", [good, image], [40, 40]),
    ):
        with pytest.raises(nstjax.InputError, match=f"^the image .*{message.removeprefix('the image ')}"):
            write()
    assert not list(tmp_path.iterdir())


def test_median_filter_takes_out_a_speck_and_keeps_an_edge() -> None:
    image = np.zeros((1, 7, 8, 3), np.float32)
    image[:, :, 4:] = 1.0
    speckled = image.copy()
    speckled[0, 3, 1] = 1.0
    np.testing.assert_array_equal(median_filter(speckled), image)
    np.testing.assert_array_equal(median_filter(image), image)


def test_resize(x64: None) -> None:
    constant = jnp.full((1, 7, 5, 3), 0.25)
    np.testing.assert_allclose(resize(constant, 3, 11), 0.25, rtol=1e-12)
    image = jnp.asarray(RNG.uniform(size=(1, 8, 8, 3)))
    assert resize(image, 8, 8) is image
    blocks = image.reshape(1, 4, 2, 4, 2, 3).mean((2, 4))
    assert float(jnp.abs(resize(image, 4, 4) - blocks).mean()) < 0.1
    np.testing.assert_allclose(resize(image, 4, 4).mean(), image.mean(), atol=0.02)
    with pytest.raises(nstjax.InputError, match="cannot resize"):
        resize(image, 0, 4)


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("size", [(5, 40), (13, 9), (31, 23), (1, 1), (17, 64), (3, 29), (34, 58)], ids=str)
def test_numpy_and_jax_arrays_are_resized_alike(method: str, size: tuple[int, int]) -> None:
    """Pillow and JAX are independent implementations of the same filters."""
    image = RNG.uniform(size=(2, 17, 29, 3)).astype(np.float32)
    found, expected = resize(image, *size, method), resize(jnp.asarray(image), *size, method)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=3e-6)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (600, 900), (1024, 384), (5, 3), (7, 7 * 3)])
def test_nearest_takes_the_pixel_that_contains_the_center(n: int, m: int) -> None:
    image = np.arange(n, dtype=np.float32).reshape(1, n, 1, 1).repeat(2, 2)
    expected = [math.floor(Fraction(2 * i + 1, 2) * Fraction(n, m)) for i in range(m)]
    np.testing.assert_array_equal(resize(image, m, 4, "nearest")[0, :, 1, 0], expected)


def test_resize_keeps_float64() -> None:
    image = RNG.uniform(size=(1, 17, 29, 3))
    assert resize(image, 9, 9).dtype == np.float64
    assert resize(image, 9, 9, "nearest").dtype == np.float64


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_only_nearest_resizes_integers(dtype: type, method: str) -> None:
    """Filters overshoot, and integers would wrap around."""
    image = (np.indices((8, 8)).sum(0) > 6)[None, ..., None].astype(dtype) * dtype(255)
    for array in (image, jnp.asarray(image)):
        if method == "nearest":
            found = resize(array, 4, 4, method)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, image[:, 1::2, 1::2])
            continue
        for size in ((4, 4), (8, 8)):
            with pytest.raises(nstjax.InputError, match=r"image has type .*: it must be floating point"):
                resize(array, *size, method)


def test_resize_refuses_an_unknown_method() -> None:
    with pytest.raises(nstjax.InputError, match="`method`"):
        resize(np.zeros((1, 4, 4, 3), np.float32), 2, 2, "sinc")


def test_fit_long_side_keeps_the_aspect_ratio() -> None:
    assert fit_long_side(734, 979, 512) == (384, 512)
    assert fit_long_side(979, 734, 512) == (512, 384)
    assert fit_long_side(1, 5000, 256) == (1, 256)


def test_find_images(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_images(tmp_path)] == ["a.png", "b.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(nstjax.InputError, match="has no image"):
        find_images(tmp_path / "empty")
    with pytest.raises(nstjax.InputError, match="cannot list"):
        find_images(tmp_path / "missing")


def test_gif(tmp_path: Path) -> None:
    frames = [np.full((1, 4, 6, 3), v) for v in (0.0, 0.5, 1.0)]
    save_gif(tmp_path / "a.gif", frames)
    with Image.open(io.BytesIO((tmp_path / "a.gif").read_bytes())) as gif:
        assert (gif.n_frames, gif.size) == (3, (6, 4))
        gif.seek(2)
        assert gif.info["duration"] == 1000
    with pytest.raises(nstjax.InputError, match="must end in .gif"):
        save_gif(tmp_path / "a.png", frames)
    with pytest.raises(nstjax.InputError, match="`frames` is empty"):
        save_gif(tmp_path / "b.gif", [])
    with pytest.raises(nstjax.InputError, match="`frames` is empty"):
        encode_animation(tmp_path / "b.webp", [], [])
    unequal = [frames[0], np.zeros((1, 6, 4, 3))]
    with pytest.raises(nstjax.InputError, match="frame 2 has 4×6 pixels and the first frame 6×4"):
        save_gif(tmp_path / "b.gif", unequal)
    for suffix in ("gif", "webp", "png"):
        with pytest.raises(nstjax.InputError, match="frame 2 has 4×6 pixels"):
            encode_animation(tmp_path / f"b.{suffix}", unequal, [100, 100])
    assert not (tmp_path / "b.gif").exists()


def test_an_animation_of_16_bits_is_read_as_a_still_image_is(tmp_path: Path) -> None:
    path, still = tmp_path / "a.png", tmp_path / "still.png"
    frames = [np.full((4, 6), value, np.uint16) for value in (20000, 40000)]
    frames[1][0] = 256, 300, 20000, 30000, 65535, 0
    path.write_bytes(deep_animation(frames))
    for found, frame in zip(open_animation(path).frames(), frames, strict=True):
        Image.fromarray(frame).save(still)
        np.testing.assert_array_equal(found, load_image(still))
        np.testing.assert_allclose(found[0, ..., 0], frame / 65535, atol=1e-6)
    path.write_bytes(deep_animation(frames, transparent=30000))
    with pytest.warns(InputWarning, match=r"a\.png has transparent pixels, which are shown over white"):
        found = list(open_animation(path).frames())
    np.testing.assert_allclose(found[0], 20000 / 65535, atol=1e-6)
    np.testing.assert_allclose(
        found[1][0, ..., 2], np.where(frames[1] == 30000, 1, frames[1] / 65535), atol=1e-6
    )


def test_files_without_metadata_have_none(tmp_path: Path) -> None:
    image = np.zeros((1, 8, 8, 3), np.float32)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    save_image(tmp_path / "own.png", image)
    (tmp_path / "damaged.png").write_bytes((tmp_path / "own.png").read_bytes()[:40])
    (tmp_path / "text.png").write_text("no image")
    for name in ("other.jpg", "other.png", "own.png", "damaged.png", "text.png", "missing.png"):
        assert read_metadata(tmp_path / name) == {}
