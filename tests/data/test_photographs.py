"""Where photographs come from and what becomes of them: folders, fakes; decoding, sizes, views."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstjax.data import DataConfig, open_batches
from nstjax.data.fake import Fake
from nstjax.data.views import LONGEST, bring_to, draw_view
from nstjax.errors import InputError, InputWarning
from nstjax.images import load_image
from nstjax.images.io import decode_image
from tests.helpers.photographs import COUNT, config, first, write_marked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_marked(tmp_path / "photographs", COUNT)
    return tmp_path / "photographs"


def test_nothing_to_read(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with (
        open_batches(config(folder)) as batches,
        pytest.raises(InputError, match=f"no photograph of the folder {folder} can be read.*copy them again"),
    ):
        next(batches)
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    write_marked(tmp_path / "empty" / ".hidden", 1)
    for source, words in (
        (tmp_path / "empty", "has no photograph, nor have its subfolders .*JPEG.*name another"),
        (tmp_path / "none", "does not exist: name a folder"),
        (next(folder.rglob("*.png")), "is a file: name the folder"),
    ):
        with pytest.raises(InputError, match=f"{source} {words}"):
            open_batches(config(source))


def test_fewer_photographs_than_a_batch_and_uneven_shares(folder: Path) -> None:
    with pytest.raises(InputError, match=f"{folder} has 7 photographs, fewer than `batch_size` 8"):
        open_batches(config(folder, batch_size=8))
    with pytest.raises(InputError, match="`batch_size` 3 cannot be divided among 2 processes"):
        open_batches(config(folder), 0, 2)


def test_folders_are_walked_once_by_name(folder: Path) -> None:
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "._00.png").write_bytes(b"")
    (folder / "note.txt").write_text("")
    with (
        pytest.warns(InputWarning, match=r"skipped note.txt: it is not an image"),
        open_batches(config(folder)) as batches,
    ):
        names = [Path(batches.source.name(record)).relative_to(folder) for record in range(7)]
    assert [str(name) for name in names] == [
        *(f"{i:02d}.png" for i in range(5)),
        "more/05.png",
        "more/06.png",
    ]


def test_small_photographs_are_enlarged(folder: Path) -> None:
    settings = config(folder, size=96, zoom=(1.0, 1.0), batch_size=1)
    with open_batches(settings) as batches:
        image = next(batches).images
        assert image.shape == (1, 96, 96, 3)


@pytest.mark.filterwarnings("ignore:.*transparent pixels")
def test_kinds_of_photographs_are_those_of_load_image(tmp_path: Path) -> None:
    """Grey, CMYK, palette, 16 bits, transparent, turned: as load_image has them, to a rounding."""
    rng = np.random.default_rng(0)
    pixels = np.asarray(Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize((60, 40)))
    colour = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=exif)
    colour.convert("L").save(tmp_path / "grey.jpg")
    colour.convert("CMYK").save(tmp_path / "cmyk.jpg")
    colour.convert("P").save(tmp_path / "palette.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.concatenate([pixels, pixels[..., :1]], -1)).save(tmp_path / "clear.webp")
    settings = config(tmp_path, size=40, zoom=(1.0, 1.0), batch_size=6, shuffle=False, flip=False)
    with open_batches(settings) as batches:
        images = next(batches).images
        assert batches.skipped == []
    for image, path in zip(images, sorted(tmp_path.iterdir()), strict=True):
        wanted = load_image(path)[0]
        assert wanted.shape == ((60, 40, 3) if path.stem == "turned" else (40, 60, 3))
        windows = np.lib.stride_tricks.sliding_window_view(wanted, (40, 40, 3))[..., 0, :, :, :].reshape(
            -1, 40, 40, 3
        )
        assert np.abs(windows - image).max(axis=(1, 2, 3)).min() <= 0.5 / 255 + 1e-6


def test_a_large_jpeg_is_decoded_small_enough_and_no_smaller(tmp_path: Path) -> None:
    y, x = np.mgrid[:900, :1300] / 1300
    waves = 0.5 + 0.5 * np.sin(np.stack([20 * x, 30 * y, 25 * (x + y)], -1))
    Image.fromarray((255 * waves).astype(np.uint8)).save(tmp_path / "large.jpg", quality=95)
    full = decode_image(tmp_path / "large.jpg", "large")
    small = decode_image(tmp_path / "large.jpg", "large", at_least=100)
    assert full.shape == (900, 1300, 3)
    assert small.shape == (225, 325, 3)
    assert decode_image(tmp_path / "large.jpg", "large", at_least=300).shape == full.shape
    difference = bring_to(small, 100).astype(float) - bring_to(full, 100)
    assert np.abs(difference).mean() < 0.5


def test_bring_to() -> None:
    ramp = np.repeat(np.linspace(0, 255, 90)[None, :, None], 60, 0).repeat(3, -1).astype(np.uint8)
    for side in (30, 60, 120):
        brought = bring_to(ramp, side)
        assert brought.shape == (side, side * 3 // 2, 3)
        wanted = (np.arange(side * 3 // 2) + 0.5) * 90 / (side * 3 // 2) - 0.5
        inner = slice(side // 4, -side // 4)
        np.testing.assert_allclose(brought[0, inner, 0], wanted[inner] * 255 / 89, atol=1.6)
    assert bring_to(ramp[:1, :1], 5).tolist() == np.full((5, 5, 3), ramp[0, 0, 0]).tolist()
    # Of a strip only the middle.
    strip = np.zeros((1, 1001, 3), np.uint8)
    strip[:, 500] = 255
    assert bring_to(strip, 10).shape == (10, LONGEST * 10, 3)
    assert bring_to(strip, 10).max() > 250
    assert bring_to(strip.transpose(1, 0, 2), 10).shape == (LONGEST * 10, 10, 3)


def test_zoom_is_uniform_and_views_stay_inside() -> None:
    """On a ramp a view's slope tells its zoom, its ends their place."""
    columns = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None] * 2, 80, 0).repeat(3, -1)
    rng = np.random.default_rng(0)
    zooms, lefts = [], []
    for _ in range(400):
        view = draw_view(columns, 40, (1.0, 2.0), False, rng).astype(float)[0, :, 0]
        slope = (view[30] - view[9]) / 21 / 2
        zooms.append(2 / slope)
        lefts.append(view[9] / 2 - 9.5 * slope + 0.5)
        assert -0.6 <= lefts[-1] <= 120 - 40 * slope + 0.6
    assert 0.97 < min(zooms) < 1.03
    assert 1.94 < max(zooms) < 2.06
    np.testing.assert_allclose(np.quantile(zooms, [0.25, 0.5, 0.75]), [1.25, 1.5, 1.75], atol=0.1)
    assert min(lefts) < 3
    assert max(lefts) > 72


def test_fakes_are_the_same_everywhere() -> None:
    fake = Fake("fake:5")
    assert len(fake) == 5
    assert (
        hashlib.sha256(b"".join(fake.decode(i, 8).tobytes() for i in range(5))).hexdigest()[:16]
        == "ba91aa6c7101d605"
    )
    images = first(DataConfig("fake", size=32), 3)
    assert images.shape == (12, 32, 32, 3)
    assert images.std() > 0.1
    for spec in ("fake:", "fake:0", "fake:x"):
        with pytest.raises(InputError, match=f"`data.source` {spec}: write the number of pictures after"):
            Fake(spec)


def test_a_folder_with_the_name_of_the_fakes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename("fake")
    said = (
        r"`data.source` fake stands for synthetic .* a folder fake: write \./fake for the folder, or rename"
    )
    with pytest.raises(InputError, match=said):
        open_batches(config("fake"))
    for source, place in (("./fake", "the folder ./fake"), ("fake:64", "`data.source` fake:64")):
        with open_batches(config(source)) as batches:
            assert batches.source.place == place


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": ""}, "`data.source` is empty: name a folder"),
        ({"size": 0}, "`data.size` is 0: it must be from 1 to 4096"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"seed": -1}, "`data.seed` is -1"),
        ({"seed": 2**32}, "`data.seed` is 4294967296"),
        ({"workers": 1000}, "`workers` is 1000: it must be from 0 to 256"),
        ({"prefetch": -1}, "`prefetch` is -1"),
        ({"zoom": (0.5, 1.0)}, "`zoom` is 0.5 1.0: it must be two factors"),
        ({"zoom": (1.5, 1.0)}, "`zoom` is 1.5 1.0"),
        ({"zoom": (1.0, math.nan)}, "`zoom` is 1.0 nan"),
    ],
)
def test_config_says_which_option(fields: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        DataConfig(**{"source": "x", **fields})
