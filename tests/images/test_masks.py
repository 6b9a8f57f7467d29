"""Masks: each kind of spec against NumPy, sizes that differ, and what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstjax.errors import InputError, InputWarning
from nstjax.images.mask_spec import check_mask_spec, mask_files
from nstjax.images.masks import MAX_LABELS, read_masks

H, W = 12, 20
RNG = np.random.default_rng(0)
IMAGE = (RNG.integers(0, 256, (1, H, W, 3)) / 255).astype(np.float32)
RED, GREEN, BLUE, NEAR_BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 254), (0, 0, 255)
LUMA = np.array([0.299, 0.587, 0.114])


def label_image(h: int = H, w: int = W) -> np.ndarray:
    """Quadrants of four colours, two of them hard to tell apart."""
    labels = np.empty((h, w, 3), np.uint8)
    labels[: h // 2, : w // 2] = RED
    labels[: h // 2, w // 2 :] = GREEN
    labels[h // 2 :, : w // 2] = NEAR_BLUE
    labels[h // 2 :, w // 2 :] = BLUE
    return labels


def save(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(path, format="PNG")
    return str(path)


def values(spec: str, image: np.ndarray = IMAGE) -> np.ndarray:
    (mask,) = read_masks([spec], image)
    assert mask.name == spec
    assert mask.values.dtype == np.float32
    assert mask.values.shape == image.shape[1:3]
    assert mask.values.min() >= 0
    assert mask.values.max() <= 1
    return mask.values


def test_soft_values_of_a_grey_file_are_kept(tmp_path: Path) -> None:
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    spec = save(tmp_path / "m.png", grey)
    np.testing.assert_array_equal(values(spec), grey / np.float32(255))
    assert read_masks([spec], IMAGE)[0].file == tmp_path / "m.png"
    assert read_masks([spec], IMAGE)[0].color == ""
    deep = (np.arange(H * W).reshape(H, W) * 260).astype(np.uint16)
    np.testing.assert_array_equal(values(save(tmp_path / "deep.png", deep)), deep / np.float32(65535))


def test_colours_count_by_their_luma(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
    found = values(save(tmp_path / "m.png", pixels))
    np.testing.assert_allclose(found, pixels / 255 @ LUMA, atol=1e-6)
    white = save(tmp_path / "white.png", np.full((H, W, 3), 255, np.uint8))
    np.testing.assert_array_equal(values(white), 1)


def test_one_colour_of_a_label_image(tmp_path: Path) -> None:
    file = save(tmp_path / "l.png", label_image())
    left = np.zeros((H, W), np.float32)
    left[: H // 2, : W // 2] = 1
    np.testing.assert_array_equal(values(f"{file}#ff0000"), left)
    np.testing.assert_array_equal(values(f"{file}#FF0A10"), left)
    np.testing.assert_array_equal(values(f"not:{file}#ff0000"), 1 - left)
    bottom = np.zeros((H, W), np.float32)
    bottom[H // 2 :] = 1
    np.testing.assert_array_equal(values(f"{file}#0000ff"), bottom)  # both blues are near enough


def test_the_tolerance_of_a_colour(tmp_path: Path) -> None:
    ramp = np.zeros((H, W, 3), np.uint8)
    ramp[..., 1] = 100 + np.arange(W)
    found = values(save(tmp_path / "l.png", ramp) + "#006400")
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(W) <= 16, (H, W)))


def test_a_label_image_saved_as_jpeg(tmp_path: Path) -> None:
    labels = np.zeros((32, 64, 3), np.uint8)
    labels[:, 32:] = (200, 200, 40)
    Image.fromarray(labels).save(tmp_path / "l.jpg", quality=90, subsampling=0)
    found = values(f"{tmp_path / 'l.jpg'}#c8c828", np.zeros((1, 32, 64, 3), np.float32))
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(64) >= 32, (32, 64)))


def test_labels_are_ordered_and_not_merged(tmp_path: Path) -> None:
    pixels = label_image()
    file = save(tmp_path / "l.png", pixels)
    found = read_masks([f"labels:{file}", "all"], IMAGE)
    assert [mask.color for mask in found] == ["0000fe", "0000ff", "00ff00", "ff0000", ""]
    assert found[1].name == f"labels:{file}#0000ff"
    assert [mask.file for mask in found] == [Path(file)] * 4 + [None]
    for mask, color in zip(found, (BLUE, NEAR_BLUE, GREEN, RED), strict=False):
        np.testing.assert_array_equal(mask.values, (pixels == color).all(-1))
    np.testing.assert_array_equal(sum(mask.values for mask in found[:4]), 1)


def test_class_numbers_are_labels(tmp_path: Path) -> None:
    classes = np.zeros((H, W), np.uint8)
    classes[3:6] = 1
    classes[6:] = 2
    found = read_masks(["labels:" + save(tmp_path / "l.png", classes)], IMAGE)
    assert [mask.color for mask in found] == ["000000", "010101", "020202"]
    np.testing.assert_array_equal(found[1].values, classes == 1)
    with pytest.raises(InputError, match="colors of more than 8 bits: save the file as an 8-bit PNG"):
        read_masks(["labels:" + save(tmp_path / "deep.png", classes.astype(np.uint16))], IMAGE)


@pytest.mark.parametrize(("colours", "fits"), [(MAX_LABELS, True), (MAX_LABELS + 1, False)])
def test_too_many_labels(tmp_path: Path, colours: int, fits: bool) -> None:
    pixels = (np.arange(H * W) % colours).astype(np.uint8).reshape(H, W)
    spec = "labels:" + save(tmp_path / "l.png", pixels)
    if fits:
        assert len(read_masks([spec], IMAGE)) == colours
    else:
        with pytest.raises(InputError, match=r"l\.png has 33 colors.*PNG.*without smoothing"):
            read_masks([spec], IMAGE)


BOXES = [(0.0, 0.0, 1.0, 1.0), (0.1, 0.25, 0.55, 0.8), (0.29, 0.57, 0.3, 0.58), (0.501, 0.0, 0.502, 1.0)]


@pytest.mark.parametrize("size", [(12, 20), (100, 100), (7, 13), (1, 1)])
@pytest.mark.parametrize("box", BOXES)
def test_a_box_is_exact_at_every_size(box: tuple[float, ...], size: tuple[int, int]) -> None:
    h, w = size
    left, top, right, bottom = box
    found = values("box:" + ",".join(map(str, box)), np.zeros((1, h, w, 3), np.float32))
    area = (right - left) * (bottom - top) * h * w
    assert found.sum(dtype=np.float64) == pytest.approx(area, rel=1e-6)
    x, y = np.arange(w), np.arange(h)
    # A pixel that only rounding makes the box touch is outside of it.
    columns = (x + 1 > left * w + 1e-9) & (x < right * w - 1e-9)
    rows = (y + 1 > top * h + 1e-9) & (y < bottom * h - 1e-9)
    np.testing.assert_array_equal(found > 0, rows[:, None] & columns)


def test_a_box_by_hand() -> None:
    found = values("box: 0.1, 0, 0.25, 0.5", np.zeros((1, 2, 10, 3), np.float32))
    np.testing.assert_array_equal(found, [[0, 1, 0.5, *[0] * 7], [0] * 10])


def test_brighter_and_darker() -> None:
    over = IMAGE[0].astype(np.float64) @ LUMA > 0.4
    np.testing.assert_array_equal(values("brighter:0.4"), over)
    np.testing.assert_array_equal(values("darker:0.4"), ~over)
    grey = np.full((1, 1, 3, 3), np.float32(0.2)) * np.array([0.5, 1, 2], np.float32)[:, None]
    np.testing.assert_array_equal(values("brighter:0.2", grey), [[0, 0, 1]])
    np.testing.assert_array_equal(values("darker:0.2", grey), [[1, 1, 0]])


def test_not_and_all() -> None:
    box = values("box:0.1,0.1,0.33,0.5")
    np.testing.assert_allclose(values("not:box:0.1,0.1,0.33,0.5"), 1 - box, atol=1e-6)
    np.testing.assert_array_equal(values("not:not:box:0.1,0.1,0.33,0.5"), box)
    np.testing.assert_array_equal(values("all"), 1)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_rest_completes_the_others_wherever_it_stands(tmp_path: Path, place: int) -> None:
    soft = save(tmp_path / "m.png", RNG.integers(0, 256, (H, W), dtype=np.uint8))
    specs = ["box:0,0,0.33,0.5", soft]
    others = np.sum([mask.values for mask in read_masks(specs, IMAGE)], axis=0)
    specs.insert(place, "rest")
    found = read_masks(specs, IMAGE)
    assert [mask.name for mask in found] == specs
    np.testing.assert_allclose(found[place].values, np.maximum(0, 1 - others), atol=1e-6)
    assert others.max() > 1  # where the two overlap, rest is 0 and not less


def test_rest_partitions_unity(tmp_path: Path) -> None:
    file = save(tmp_path / "l.png", label_image())
    found = read_masks([f"{file}#ff0000", "rest", f"{file}#00ff00"], IMAGE)
    np.testing.assert_array_equal(sum(mask.values for mask in found), 1)
    soft = read_masks(["box:0,0,0.31,0.57", "box:0.31,0,1,0.57", "rest"], IMAGE)
    np.testing.assert_allclose(sum(mask.values for mask in soft), 1, atol=1e-6)


def test_rounding_is_no_region(tmp_path: Path) -> None:
    white = save(tmp_path / "m.png", np.full((31, 47), 255, np.uint8))  # sums of weights are not quite 1
    with pytest.warns(InputWarning):
        np.testing.assert_array_equal(values(white), 1)
    with (
        pytest.warns(InputWarning),
        pytest.raises(InputError, match="invert a mask that leaves something out"),
    ):
        values(f"not:{white}")
    soft = save(tmp_path / "soft.png", RNG.integers(1, 255, (H, W), dtype=np.uint8))
    with pytest.raises(InputError, match="the other masks cover every pixel; leave it out"):
        read_masks([soft, f"not:{soft}", "rest"], IMAGE)


def test_a_grey_file_of_another_size_is_resampled(tmp_path: Path) -> None:
    half = np.kron(RNG.integers(0, 256, (H, W), dtype=np.uint8), np.ones((2, 2), np.uint8))
    spec = save(tmp_path / "m.png", half)
    with pytest.warns(InputWarning, match=r"m\.png is 40×24 where its image is 20×12: it is resampled"):
        found = values(spec)
    wanted = np.asarray(
        Image.fromarray(half.astype(np.float32) / 255).resize((W, H), Image.Resampling.BILINEAR)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)  # Pillow's, which has the same antialiasing


@pytest.mark.parametrize("size", [(24, 40), (7, 33), (5, 6)])
def test_a_label_image_of_another_size_keeps_its_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = label_image(*size)
    file = save(tmp_path / "l.png", pixels)
    rows = ((np.arange(H) + 0.5) * size[0] / H).astype(int)
    columns = ((np.arange(W) + 0.5) * size[1] / W).astype(int)
    near = pixels[rows[:, None], columns]
    with pytest.warns(InputWarning, match=r"l\.png is") as caught:
        found = read_masks([f"labels:{file}", f"{file}#00ff00"], IMAGE)
    assert len(caught) == 1  # of one file, once
    for mask, color in zip(found, (BLUE, NEAR_BLUE, GREEN, RED, GREEN), strict=True):
        np.testing.assert_array_equal(mask.values, (near == color).all(-1))


def test_a_label_lost_by_resampling_is_an_error(tmp_path: Path) -> None:
    pixels = np.zeros((H * 4, W * 4), np.uint8)
    pixels[0, 0] = 9
    spec = "labels:" + save(tmp_path / "l.png", pixels)
    with pytest.warns(InputWarning), pytest.raises(InputError, match=r"l\.png#090909 is empty at 20×12"):
        read_masks([spec], IMAGE)


def test_a_hash_in_a_file_name(tmp_path: Path) -> None:
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    for name in ("a#ff0000", "a#12.png", "b#1"):
        spec = save(tmp_path / name, grey)
        np.testing.assert_array_equal(values(spec), grey / np.float32(255))
        assert mask_files([spec]) == [Path(spec)]
    spec = save(tmp_path / "c#ff0000", label_image())
    assert len(read_masks([f"labels:{spec}"], IMAGE)) == 4
    assert values(f"{spec}#ff0000").sum() == H * W / 4
    folder = tmp_path / "d#abcdef"
    folder.mkdir()
    np.testing.assert_array_equal(values(save(folder / "m", grey)), grey / np.float32(255))


def test_names_that_look_like_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    for name, spec in (("all", "./all"), ("foo:bar", "foo:bar"), ("all:1", "all:1"), ("rest:", "rest:")):
        save(Path(name), grey)
        check_mask_spec(spec)
        np.testing.assert_array_equal(values(spec), grey / np.float32(255))


def test_mask_files() -> None:
    specs = [
        "b.png#ff0000",
        "rest",
        "labels:a.png",
        "not:b.png",
        "box:0,0,1,1",
        "c:d.png",
        "darker:0",
        "e#1/f",
    ]
    assert mask_files(specs) == [Path("b.png"), Path("a.png"), Path("c:d.png"), Path("e#1/f")]


@pytest.mark.parametrize(
    ("spec", "phrase"),
    [
        ("", "`specs` has an empty string"),
        ("  ", "`specs` has an empty string"),
        ("box:0,0,1", "has 3 numbers, not 4: write box:LEFT,TOP,RIGHT,BOTTOM"),
        ("box:0,0,1,1,1", "has 5 numbers"),
        ("box:", "has a word where a number is needed: write box:"),
        ("box:0,0,1,x", "has a word where a number is needed"),
        ("box:0,0,nan,1", "not within [0, 1]"),
        ("box:0,0,1.5,1", "not within [0, 1]"),
        ("box:-0.1,0,1,1", "not within [0, 1]"),
        ("box:0.5,0,0.5,1", "must have LEFT < RIGHT and TOP < BOTTOM"),
        ("box:0,0.6,1,0.5", "must have LEFT < RIGHT and TOP < BOTTOM"),
        ("not:box:0,1", "has 2 numbers"),
        ("brighter:2", "not within [0, 1]: write brighter:V"),
        ("brighter:", "has a word where a number is needed"),
        ("brighter:0.1,0.2", "has 2 numbers, not 1: write brighter:V"),
        ("darker:inf", "not within [0, 1]: write darker:V"),
        ("darker:dark", "has a word where a number is needed"),
        ("not:", "cannot be inverted: name one mask after not:"),
        ("not:rest", "cannot be inverted: name one mask after not:"),
        ("not:labels:a.png", "cannot be inverted: name one mask after not:"),
        ("not:not:labels:a.png", "cannot be inverted"),
        ("labels:", "has no file: write labels:FILE"),
        (
            "labels:a.png#ff0000",
            "has a color, but labels: takes none: write a.png#ff0000 for this color, or labels:a.png for all",
        ),
        ("a.png#12", "six digits of a color: write FILE#RRGGBB"),
        ("a.png#", "six digits of a color: write FILE#RRGGBB"),
        ("a.png#gg0000", "six digits of a color: write FILE#RRGGBB"),
        ("#ff0000", "six digits of a color: write FILE#RRGGBB"),
    ],
)
def test_malformed_specs(spec: str, phrase: str) -> None:
    for call in (check_mask_spec, lambda s: mask_files([s]), lambda s: read_masks([s], IMAGE)):
        with pytest.raises(InputError) as caught:
            call(spec)
        assert phrase in str(caught.value)
        assert spec.strip() in str(caught.value)
        assert "\n" not in str(caught.value)


def test_specs_of_missing_files_are_well_formed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for spec in ("no.png", "no.png#ff0000", "labels:no.png", "not:no#1.png", "foo:bar", "rest", "all"):
            check_mask_spec(spec)


@pytest.mark.parametrize(
    ("specs", "phrase"),
    [
        (["rest"], "rest needs at least one other mask"),
        (["rest", "all", "rest"], "`specs` names rest twice: name it once"),
        (["all", "rest"], "the mask rest is empty at 20×12 pixels: the other masks cover every pixel"),
        (["not:all"], "the mask not:all is empty"),
        (["brighter:1"], "the mask brighter:1 is empty at 20×12 pixels: choose a smaller number"),
        (["darker:0"], "the mask darker:0 is empty at 20×12 pixels: choose a larger number"),
        (["box:0,0,1e-12,1"], "is empty at 20×12 pixels: enlarge the box"),
        (["black.png"], "the mask black.png is empty at 20×12 pixels: make some of it white"),
        (["all", "black.png#ff0000"], "the mask black.png#ff0000 is empty at 20×12 pixels: name a color"),
        (["no.png"], "no.png does not exist"),
        (["labels:no.png"], "no.png does not exist"),
        (["no.png#ff0000"], "no.png does not exist"),
        (["all", "not:text.png"], "text.png is not an image"),
    ],
)
def test_refused_lists(
    specs: list[str], phrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("black.png"), np.zeros((H, W), np.uint8))
    Path("text.png").write_text("no picture")
    with pytest.raises(InputError) as caught:
        read_masks(specs, IMAGE)
    assert phrase in str(caught.value)


def test_no_specs_and_no_image() -> None:
    assert read_masks([], IMAGE) == []
    assert mask_files([]) == []
    with pytest.raises(InputError, match="it must be"):
        read_masks(["all"], IMAGE[0])


class TestTransparency:
    """Alpha decides where it varies: what is opaque is inside."""

    SKY = np.arange(H)[:, None] + np.zeros((1, W), int) < 5
    COLOURS = np.where(SKY[..., None], (20, 40, 60), (250, 240, 230)).astype(np.uint8)  # a dark sky

    def test_the_opaque_part_is_inside_whatever_its_colour(self, tmp_path: Path) -> None:
        alpha = np.where(self.SKY, 255, 0).astype(np.uint8)
        grey = self.COLOURS[..., 0]
        palette = Image.fromarray(self.SKY.astype(np.uint8), "P")
        palette.putpalette([9, 9, 9, 7, 7, 7])
        key = np.where(self.SKY[..., None], (1, 2, 3), (0, 0, 0)).astype(np.uint8)
        pictures = {
            "rgba.png": (Image.fromarray(np.dstack([self.COLOURS, alpha])), {}),
            "la.png": (Image.fromarray(np.dstack([grey, alpha]), "LA"), {}),
            "p.png": (palette, {"transparency": 0}),
            "rgb.png": (Image.fromarray(key), {"transparency": (0, 0, 0)}),
            "l.png": (Image.fromarray(key[..., 0]), {"transparency": 0}),
            "rgba.webp": (
                Image.fromarray(np.dstack([self.COLOURS, alpha])),
                {"lossless": True, "exact": True},
            ),
            "rgba.tif": (Image.fromarray(np.dstack([self.COLOURS, alpha])), {}),
        }
        for name, (picture, options) in pictures.items():
            picture.save(tmp_path / name, **options)
            with pytest.warns(InputWarning, match=f"{name} has transparency: what is opaque is inside"):
                np.testing.assert_array_equal(values(str(tmp_path / name)), self.SKY, err_msg=name)

    def test_soft_edges_are_kept(self, tmp_path: Path) -> None:
        alpha = RNG.integers(0, 256, (H, W), dtype=np.uint8)
        spec = save(tmp_path / "m.png", np.dstack([self.COLOURS, alpha]))
        with pytest.warns(InputWarning, match="has transparency"):
            np.testing.assert_array_equal(values(spec), alpha / np.float32(255))
        with pytest.warns(InputWarning, match="has transparency"):
            np.testing.assert_allclose(values(f"not:{spec}"), 1 - alpha / 255, atol=1e-6)

    @pytest.mark.parametrize("alpha", [255, 0, 128])
    def test_an_alpha_that_is_the_same_everywhere_tells_nothing(self, tmp_path: Path, alpha: int) -> None:
        spec = save(tmp_path / "m.png", np.dstack([self.COLOURS, np.full((H, W), alpha, np.uint8)]))
        np.testing.assert_allclose(values(spec), self.COLOURS / 255 @ LUMA, atol=1e-6)

    def test_labels(self, tmp_path: Path) -> None:
        labels = label_image()
        clear = np.zeros((H, W), bool)
        clear[:3] = True
        labels[clear] = (255, 255, 255)
        alpha = np.where(clear, 0, 255).astype(np.uint8)
        file = save(tmp_path / "l.png", np.dstack([labels, alpha]))
        with pytest.warns(InputWarning, match="what is transparent belongs to no color") as caught:
            found = read_masks([f"labels:{file}", f"{file}#ff0000"], IMAGE)
        assert len(caught) == 1
        assert [mask.color for mask in found[:4]] == ["0000fe", "0000ff", "00ff00", "ff0000"]
        for mask, color in zip(found, (BLUE, NEAR_BLUE, GREEN, RED, RED), strict=True):
            np.testing.assert_array_equal(mask.values, (labels == color).all(-1) & ~clear)
        hidden = label_image()  # the same colour under transparency
        file = save(tmp_path / "l2.png", np.dstack([hidden, alpha]))
        with pytest.warns(InputWarning, match="belongs to no color"):
            np.testing.assert_array_equal(values(f"{file}#ff0000"), (hidden == RED).all(-1) & ~clear)

    def test_labels_that_are_all_transparent_are_refused(self, tmp_path: Path) -> None:
        alpha = np.where(self.SKY, 100, 0).astype(np.uint8)
        file = save(tmp_path / "l.png", np.dstack([label_image(), alpha]))
        with (
            pytest.warns(InputWarning, match="belongs to no color"),
            pytest.raises(
                InputError, match=r"^the mask labels:.*l\.png is empty: .* paint its regions opaque$"
            ),
        ):
            read_masks([f"labels:{file}", "all"], IMAGE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_of_zeros_and_ones(tmp_path: Path, dtype: type) -> None:
    inside = RNG.uniform(size=(H, W)) < 0.4
    spec = save(tmp_path / "m.png", inside.astype(dtype))
    with pytest.warns(InputWarning, match="has the values 0 and 1: what is 1 is inside"):
        np.testing.assert_array_equal(values(spec), inside)
    with pytest.warns(InputWarning, match="has the values 0 and 1"):
        np.testing.assert_array_equal(values(f"not:{spec}"), ~inside)


def test_a_mask_of_class_numbers_is_told(tmp_path: Path) -> None:
    classes = RNG.integers(0, 4, (H, W), dtype=np.uint8)
    spec = save(tmp_path / "m.png", classes)
    with pytest.warns(
        InputWarning, match="no value over 3 of 255, so next to nothing is inside.*labels:FILE"
    ):
        np.testing.assert_array_equal(values(spec), classes / np.float32(255))
