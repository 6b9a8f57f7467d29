"""Controls through the functions and through the program: regions, blends, colours, sizes, strengths, textures."""

import dataclasses
import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax import Style, StyleRegion, TransferConfig
from nstjax.cli.main import main
from nstjax.errors import InputWarning
from nstjax.images import color
from nstjax.losses import Objective
from nstjax.optim import Adam, Lbfgs
from nstjax.synthesis import RECONSTRUCT, TEXTURE, TransferResult
from nstjax.synthesis.pyramid import exemplar_size_at
from tests.helpers.networks import random_params

RECORD = Objective(("relu1_2",), ("relu1_1", "relu2_1"))
QUICK = TransferConfig(objective=RECORD, optimizer=Lbfgs(iterations=8), scales=(32,))


@pytest.fixture
def two(pictures) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph, and a red and a blue painting of different texture."""
    rng = np.random.default_rng(5)
    red, blue = (
        rng.uniform(size=(1, 40, 44, 3)).astype(np.float32) * c for c in ([1, 0.2, 0.2], [0.2, 0.2, 1])
    )
    blue = blue.repeat(2, 1)[:, :40]
    return pictures[0], red.astype(np.float32), blue.astype(np.float32)


def half(image: np.ndarray) -> np.ndarray:
    mask = np.zeros(image.shape[1:3], np.float32)
    mask[:, : mask.shape[1] // 2] = 1
    return mask


def redness(image: np.ndarray) -> float:
    return float((image[..., 0] - image[..., 2]).mean())


def test_each_region_takes_the_colours_of_its_own_painting(small, two) -> None:
    photo, red, blue = two
    mask = half(photo)
    regions = [StyleRegion((Style(red),), mask), StyleRegion((Style(blue),), 1 - mask)]
    image = nstjax.transfer(
        photo, regions, small, dataclasses.replace(QUICK, optimizer=Lbfgs(iterations=40))
    ).image
    left, right = image[:, :, :14], image[:, :, 18:]
    assert redness(left) > 0.15
    assert redness(right) < -0.15


def test_regions_in_another_order_give_the_same_picture(small, two) -> None:
    photo, red, blue = two
    mask = half(photo)
    regions = [StyleRegion((Style(red),), mask), StyleRegion((Style(blue),), 1 - mask)]
    first, second = (nstjax.transfer(photo, r, small, QUICK).image for r in (regions, regions[::-1]))
    np.testing.assert_allclose(first, second, atol=5e-3)


def test_one_full_region_is_no_region_to_the_last_bit(small, two) -> None:
    photo, red, _ = two
    plain = nstjax.transfer(photo, red, small, QUICK).image
    for form in (
        Style(red),
        [Style(red, None, 3.0)],
        [red],
        StyleRegion((Style(red),)),
        [StyleRegion((Style(red, np.ones(red.shape[1:3])),), np.ones(photo.shape[1:3]))],
    ):
        np.testing.assert_array_equal(nstjax.transfer(photo, form, small, QUICK).image, plain)


def test_the_part_of_a_painting_outside_its_mask_has_no_say(small, two) -> None:
    """Not even through receptive fields that cross the border, which is what "inside" is for."""
    photo, red, _ = two
    mask = half(red)
    other = red.copy()
    other[:, :, 24:] = 0.9  # two pixels clear of the border, for the resampling filter
    config = dataclasses.replace(QUICK, scales=(44,), mask_carry="inside")
    first, second = (
        nstjax.transfer(photo, [Style(image, mask)], small, config).image for image in (red, other)
    )
    np.testing.assert_allclose(first, second, atol=2e-3)


@pytest.mark.parametrize(
    "mask", [np.zeros((48, 64)), np.full((48, 64), 2.0), np.ones((48, 64, 3)), np.full((48, 64), np.nan)]
)
def test_bad_masks(small, two, mask: np.ndarray) -> None:
    with pytest.raises(nstjax.InputError, match="the mask of the sky"):
        nstjax.transfer(two[0], [StyleRegion((Style(two[1]),), mask, name="the sky")], small, QUICK)


def test_bad_styles(small, two) -> None:
    photo, red, _ = two
    for style, message in (
        ([], "no style"),
        ([StyleRegion(())], "no style"),
        ([Style(red, None, 0.0)], "all 0"),
        ([Style(red, None, -1.0)], "finite number"),
        (red[0], "must be"),
        ([Style(red), StyleRegion((Style(red),))], "mixed"),
        (StyleRegion(Style(red)), "give a tuple of Style"),
    ):
        with pytest.raises(nstjax.InputError, match=message):
            nstjax.transfer(photo, style, small, QUICK)


def test_a_mask_of_another_size_is_resized_with_a_warning(small, two) -> None:
    photo, red, _ = two
    with pytest.warns(InputWarning, match=r"32×24 pixels and its image 64×48"):
        nstjax.transfer(photo, [StyleRegion((Style(red),), half(photo)[::2, ::2])], small, QUICK)


def test_a_region_with_few_positions_inside_is_completed_with_a_warning(small, two) -> None:
    photo, red, _ = two
    mask = np.zeros((48, 64), np.float32)
    mask[20:28, 20:30] = 1
    with pytest.warns(InputWarning, match="fewer than 16 positions inside at relu"):
        result = nstjax.transfer(photo, [StyleRegion((Style(red),), mask)], small, QUICK)
    assert np.isfinite(result.image).all()


@pytest.mark.filterwarnings("ignore::nstjax.errors.InputWarning")
def test_a_region_that_a_layer_s_grid_drops_is_an_error_that_names_it(small, two) -> None:
    photo, red, _ = two
    corner = np.zeros((48, 64), np.float32)
    corner[-1, -1] = 1  # an odd last row or column is dropped by pooling
    config = dataclasses.replace(QUICK, scales=(15,))
    with pytest.raises(nstjax.InputError, match=r"the corner is empty at relu2_1 of 15×11 pixels"):
        nstjax.transfer(photo, [StyleRegion((Style(red),), corner, name="the corner")], small, config)


@pytest.mark.parametrize("of", ["style", "result"])
@pytest.mark.parametrize("how", ["luminance", "histogram", "cholesky", "pca", "symmetric"])
def test_colours_are_the_photograph_s(small, two, how: str, of: str) -> None:
    photo, red, _ = two
    config = dataclasses.replace(QUICK, colors=how, colors_of=of)
    told = []
    result = nstjax.transfer(photo, red, small, config, lambda p: told.append(p.image()) and None)
    plain = nstjax.transfer(photo, red, small, QUICK).image
    small_photo = np.asarray(nstjax.images.resize(photo, 24, 32)).clip(0, 1)

    def distance(image: np.ndarray) -> float:
        return float(np.abs(image.mean((1, 2)) - small_photo.mean((1, 2))).max())

    assert distance(result.image) < 0.6 * distance(plain)
    np.testing.assert_array_equal(told[-1], result.image)  # what is shown is what is saved
    if how == "luminance":
        import skimage.color

        inside = (result.image > 0.01).all(-1) & (result.image < 0.99).all(-1)  # where nothing was clipped
        found, expected = (skimage.color.rgb2yiq(i)[..., 1:] for i in (result.image, small_photo))
        np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("how", ["luminance", "histogram", "cholesky", "pca", "symmetric"])
def test_each_region_s_painting_has_its_mean_colour_and_the_photograph_s_contrast(two, how: str) -> None:
    from nstjax.synthesis.colors import prepare_colors
    from nstjax.synthesis.styles import check_regions

    photo, red, _ = two
    photo = 0.4 + 0.2 * photo  # of a low contrast, so that nothing is clipped
    part = half(photo)
    own = np.zeros(red.shape[1:3], np.float32)
    own[:20] = 1
    regions = check_regions(
        [StyleRegion((Style(red, own),), part), StyleRegion((Style(red),), 1 - part)], photo.shape[1:3]
    )
    grey, (first, second) = prepare_colors(dataclasses.replace(QUICK, colors=how), photo, regions)
    grey = np.asarray(grey)
    for image, mask, there in ((first.styles[0].image, own, part), (second.styles[0].image, None, 1 - part)):
        inside = np.asarray(image)[0][(np.ones(red.shape[1:3]) if mask is None else mask) > 0]
        np.testing.assert_allclose(inside.mean(0), grey[0][there > 0].mean(0), atol=2e-3)
        np.testing.assert_allclose(inside.std(0), grey[0].std((0, 1)), rtol=0.1)
    _, (whole,) = prepare_colors(
        dataclasses.replace(QUICK, colors=how), photo, check_regions(red, photo.shape[1:3])
    )
    if how != "luminance":
        np.testing.assert_array_equal(whole.styles[0].image, color.transfer_color(red, photo, how))


def test_strength_orders_pictures_from_photograph_to_style(small, two) -> None:
    photo, red, _ = two
    config = dataclasses.replace(QUICK, optimizer=Lbfgs(iterations=25))
    reds = [
        redness(nstjax.transfer(photo, red, small, dataclasses.replace(config, style_strength=s)).image)
        for s in (1e-3, 0.05, 5.0)
    ]
    assert reds[0] < reds[1] < reds[2]


def test_texture_has_any_size_and_the_style_s_statistics(small, two) -> None:
    _, red, _ = two
    config = dataclasses.replace(
        TEXTURE,
        objective=dataclasses.replace(RECORD, content_weight=0.0),
        optimizer=Lbfgs(iterations=40),
        scales=(20, 40),
    )
    result = nstjax.texture(red, small, config, shape=(2, 3))
    assert result.image.shape == (1, 27, 40, 3)
    assert redness(result.image) == pytest.approx(redness(red), abs=0.08)
    assert {name.split("/")[0] for name in result.history[0].terms} == {"style", "tv"}
    single = dataclasses.replace(config, scales=(24,), optimizer=Lbfgs(iterations=5))
    square = nstjax.texture(red, small, single)
    assert square.image.shape == (1, 24, 24, 3)
    first, second = (nstjax.texture(red, small, dataclasses.replace(single, seed=s)).image for s in (0, 1))
    np.testing.assert_array_equal(first, square.image)
    assert not np.array_equal(first, second)
    for how, message in (({"init": "content"}, "`init` content"), ({}, "shape")):
        with pytest.raises(nstjax.InputError, match=message):
            nstjax.texture(red, small, dataclasses.replace(config, **how), shape=(0, 1))


def test_a_texture_s_exemplar_keeps_its_size_beside_the_picture(two) -> None:
    _, red, _ = two  # 44 pixels wide
    config = dataclasses.replace(TEXTURE, scales=(44, 88), size=88)
    assert exemplar_size_at(jnp.asarray(red), 88, config)[1] == 44
    assert exemplar_size_at(jnp.asarray(red), 44, config)[1] == 22
    assert exemplar_size_at(jnp.asarray(red), 88, dataclasses.replace(config, style_size=30))[1] == 30


def test_reconstruction_from_a_shallow_layer_is_the_image(small, pictures) -> None:
    photo = pictures[0]
    config = dataclasses.replace(
        RECONSTRUCT,
        objective=dataclasses.replace(RECONSTRUCT.objective, content_layers=("relu1_1",)),
        optimizer=Lbfgs(iterations=120),
        scales=(32,),
        size=32,
    )
    result = nstjax.reconstruct(photo, small, config)
    smaller = np.asarray(nstjax.images.resize(photo, 24, 32)).clip(0, 1)
    assert np.abs(result.image - smaller).mean() < 0.05
    assert {name.split("/")[0] for name in result.history[0].terms} == {"content", "tv"}
    for init in ("content", "style"):
        with pytest.raises(nstjax.InputError, match=f"`init` {init}"):
            nstjax.reconstruct(photo, small, dataclasses.replace(config, init=init))


def test_mixing_scales_changes_texture_and_keeps_arrangement(small, two) -> None:
    photo, red, _ = two
    mixed = nstjax.mix_scales(photo, red, small, 48, ("relu1_1", "relu2_1"), iterations=25)
    assert mixed.shape == (1, 36, 48, 3)
    assert redness(mixed) > redness(photo) + 0.1
    smooth = nstjax.images.resize
    coarse = [np.asarray(smooth(jnp.asarray(i), 4, 6)).mean(-1).ravel() for i in (mixed, photo)]
    assert np.corrcoef(*coarse)[0, 1] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["linear", "moments", "polynomial", "gaussian", "wasserstein"])
def test_every_statistic_lowers_its_loss_and_moves_towards_the_style(small, two, statistic: str) -> None:
    photo, red, _ = two
    record = dataclasses.replace(RECORD, style_statistic=statistic)
    config = dataclasses.replace(QUICK, objective=record, optimizer=Lbfgs(iterations=25), scales=(24,))
    result: TransferResult = nstjax.transfer(photo, red, small, config)
    losses = [entry.loss for entry in result.history]
    assert losses[-1] < losses[0]
    assert redness(result.image) > redness(photo) + 0.15


# The program.

COMMON = ["-w", "weights.npz", "--network", "vgg19", "--scales", "24", "--iterations", "4"]


@pytest.fixture
def folder(tmp_path: Path, two, monkeypatch: pytest.MonkeyPatch) -> Path:
    photo, red, blue = two
    for name, image in (("photo", photo), ("red", red), ("blue", blue)):
        nstjax.save_image(tmp_path / f"{name}.png", image)
    Image.fromarray((half(photo) * 255).astype(np.uint8)).save(tmp_path / "left.png")
    labels = np.zeros((48, 64, 3), np.uint8)
    labels[:, :32, 0], labels[:, 32:, 2] = 255, 255
    Image.fromarray(labels).save(tmp_path / "labels.png")
    Image.fromarray(labels[:40, 10:54]).save(tmp_path / "style_labels.png")
    arrays = {f"{c}/{k}": v for c, w in random_params("vgg19", 3).items() for k, v in w.items()}
    np.savez(tmp_path / "weights.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


EVERYTHING = [
    "transfer", "photo.png", "red.png", "blue.png", "red.png", "-o", "out.png", *COMMON,
    "--masks", "left.png", "rest", "--style-masks", "box:0,0,1,0.5", "all", "--style-regions", "1", "2", "2",
    "--style-weights", "1", "3", "1", "--region-weights", "1", "2", "--colors", "cholesky", "--blend", "statistics",
    "--scales", "12", "24", "--style-strength", "1.5", "--mask-carry", "average", "--style-statistic", "moments",
]  # fmt: skip


@pytest.mark.slow
def test_everything_in_one_command_and_again_from_its_record(folder: Path, monkeypatch, capsys) -> None:
    assert main([*EVERYTHING, "--optimizer", "adam", "-q"]) == 0
    record = json.loads((folder / "out.png.run.json").read_text())
    assert record["command"] == "transfer"
    assert record["sources"]["masks"] == [str(folder / "left.png"), "rest"]
    with Image.open("out.png") as picture:
        assert str(folder) not in picture.info["nstjax"]
    assert set(record["inputs"]) == {"content", "style", "style_2", "style_3", "mask_1"}
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")  # paths in a record are absolute
    assert main(["transfer", "--from", "../out.png.run.json", "-o", "again.png"]) == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("../out.png"))
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert all("fewer than 16 positions inside" in note for note in notes), "none says that the run differs"


@pytest.mark.slow
def test_regions_that_were_stopped_are_resumed_to_the_same_bits(folder: Path, monkeypatch, capsys) -> None:
    from nstjax.cli import synthesise

    assert main([*EVERYTHING, "-q"]) == 0
    os.replace("out.png", "whole.png")
    real = synthesise.transfer

    def stops(content, styles, backbone, config, told, **how):
        return real(
            content,
            styles,
            backbone,
            config,
            lambda p: told(p) or (p.entry.scale, p.entry.iteration) == (1, 2),
            **how,
        )

    with monkeypatch.context() as patch:
        patch.setattr(synthesise, "transfer", stops)
        assert main([*EVERYTHING, "-q", "--save-state-every", "2"]) == 130
    assert main([*EVERYTHING, "--save-state-every", "2", "--resume"]) == 0
    assert "resuming out.png at scale 2, iteration 2" in capsys.readouterr().err
    np.testing.assert_array_equal(pixels("out.png"), pixels("whole.png"))


def test_a_changed_mask_is_another_run(folder: Path, capsys) -> None:
    command = [
        "transfer",
        "photo.png",
        "red.png",
        "blue.png",
        "-o",
        "out.png",
        *COMMON,
        "--masks",
        "left.png",
        "not:left.png",
    ]
    assert main([*command, "-q"]) == 0
    assert main([*command, "--resume"]) == 0
    assert "finished already" in capsys.readouterr().err
    image = pixels("left.png")
    Image.fromarray(np.roll(image, 8, 1)).save("left.png")
    assert main([*command, "--resume"]) == 0
    assert "finished already" not in capsys.readouterr().err


def test_label_images_pair_regions_by_colour(folder: Path) -> None:
    command = [
        "transfer",
        "photo.png",
        "red.png",
        "-o",
        "out.png",
        *COMMON,
        "-q",
        "--masks",
        "labels:labels.png",
    ]
    assert main([*command, "--style-masks", "labels:style_labels.png"]) == 0
    first = pixels("out.png")
    same = ["--masks", "labels.png#0000ff", "labels.png#ff0000"]
    same += ["--style-masks", "style_labels.png#0000ff", "style_labels.png#ff0000"]
    assert main([*command[:-2], *same]) == 0
    np.testing.assert_array_equal(pixels("out.png"), first)


def test_mended_input_is_said_in_a_note(folder: Path, capsys) -> None:
    Image.fromarray(pixels("left.png")[::2, ::2]).save("left.png")
    command = ["transfer", "photo.png", "red.png", "-o", "out.png", *COMMON, "--masks", "left.png"]
    assert main(command) == 0
    err = capsys.readouterr().err
    assert err.count("note: the mask left.png is 32×24 where its image is 64×48: it is resampled") == 1
    assert "Warning" not in err


def test_strength_grid(folder: Path, capsys) -> None:
    command = ["transfer", "photo.png", "red.png", "-o", "out.png", *COMMON, "--strength-grid", "0.01", "1"]
    assert main([*command, "-q"]) == 0
    names = ["out_strength0.01.png", "out_strength1.png"]
    assert [redness(pixels(n)[None] / 255.0) for n in names] == sorted(
        redness(pixels(n)[None] / 255.0) for n in names
    )
    height, width, _ = pixels("out.png").shape
    assert width > height
    assert json.loads((folder / "out_strength1.png.run.json").read_text())["config"]["style_strength"] == 1
    assert main(["transfer", "--from", "out_strength1.png.run.json", "-o", "again.png", "-q"]) == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("out_strength1.png"))
    assert main([*command, "--resume"]) == 0
    assert capsys.readouterr().err.count("finished already") == 2


@pytest.mark.slow
def test_texture_and_reconstruct_and_fine_style(folder: Path, capsys) -> None:
    assert (
        main(["texture", "red.png", "blue.png", "-o", "t.png", *COMMON, "--proportions", "3", "2", "-q"]) == 0
    )
    assert pixels("t.png").shape == (16, 24, 3)
    assert main(["reconstruct", "photo.png", "-o", "r.png", *COMMON, "--content-layer", "relu1_1", "-q"]) == 0
    assert main(["reconstruct", "photo.png", "-o", "s.png", *COMMON, "--style-layers", "relu1_1", "-q"]) == 0
    fine = ["transfer", "photo.png", "red.png", "-o", "f.png", *COMMON, "--fine-style", "blue.png", "-q"]
    assert main(fine) == 0
    terms = {n: json.loads(Path(f"{n}.png.run.json").read_text())["history"][0]["terms"] for n in "rs"}
    assert set(terms["r"]) == {"content/relu1_1", "tv"}
    assert set(terms["s"]) == {"style/relu1_1", "tv"}
    for name, command in (("t", "texture"), ("r", "reconstruct"), ("s", "reconstruct"), ("f", "transfer")):
        assert main([command, "--from", f"{name}.png.run.json", "-o", f"{name}2.png", "-q"]) == 0
        np.testing.assert_array_equal(pixels(f"{name}2.png"), pixels(f"{name}.png"))
    assert main(["transfer", "--from", "t.png.run.json"]) == 2
    assert "t.png.run.json is a record of nstjax texture" in capsys.readouterr().err


def test_adam_and_regions_by_function(small, two) -> None:
    photo, red, blue = two
    regions = [
        StyleRegion((Style(red), Style(blue, None, 0.5)), half(photo)),
        StyleRegion((Style(blue),), 1 - half(photo)),
    ]
    config = dataclasses.replace(
        QUICK, optimizer=Adam(iterations=12, learning_rate=0.05), colors="pca", colors_of="result"
    )
    states = []
    whole = nstjax.transfer(photo, regions, small, config, lambda p: states.append(p.state()) and None)
    again = nstjax.transfer(photo, regions, small, config, resume=states[7])
    np.testing.assert_array_equal(again.image, whole.image)


def test_a_painting_that_serves_two_regions_is_looked_at_once(small, two, monkeypatch) -> None:
    import importlib

    module = importlib.import_module("nstjax.synthesis.loss")

    photo, red, _ = two
    sizes = []
    real = module.features
    monkeypatch.setattr(module, "features", lambda *a, **k: sizes.append(np.shape(a[1])) or real(*a, **k))
    regions = [StyleRegion((Style(red),), half(photo)), StyleRegion((Style(red),), 1 - half(photo))]
    nstjax.transfer(photo, regions, small, dataclasses.replace(QUICK, scales=(44,)))
    assert sizes.count(red.shape) == 1


def test_layers_without_weight_are_neither_computed_nor_wanted(small, two) -> None:
    """relu2_1 needs two rows and columns; a picture of one row is enough for relu1_1 alone."""
    thin = two[0][:, :1]
    config = dataclasses.replace(
        RECONSTRUCT,
        objective=dataclasses.replace(RECONSTRUCT.objective, content_layers=("relu1_1",)),
        optimizer=Lbfgs(iterations=2),
        scales=(64,),
    )
    assert nstjax.reconstruct(thin, small, config).image.shape == (1, 1, 64, 3)
    with pytest.raises(nstjax.InputError, match="too small for layer relu2_1"):
        nstjax.transfer(thin, two[1], small, dataclasses.replace(config, objective=RECORD))


def test_bad_input_does_not_cost_an_interrupted_run_its_state(folder: Path, monkeypatch, capsys) -> None:
    from nstjax.cli import synthesise

    command = ["transfer", "photo.png", "red.png", "-o", "out.png", *COMMON, "--save-state-every", "2"]
    command += ["--snapshot-every", "1"]
    real = synthesise.transfer
    with monkeypatch.context() as patch:
        patch.setattr(
            synthesise,
            "transfer",
            lambda *a, **k: real(*a[:4], lambda p: a[4](p) or p.entry.iteration == 2, **k),
        )
        assert main([*command, "-q"]) == 130
    Image.new("L", (64, 48)).save("black.png")
    for bad in (["--masks", "black.png"], ["--style-layers", "relu5_1"]):
        assert main([*command, "-q", *bad]) == 2
    assert len(list((folder / "out.png.snapshots").iterdir())) == 2
    capsys.readouterr()
    assert main([*command, "--resume"]) == 0
    assert "resuming out.png at scale 1, iteration 2" in capsys.readouterr().err


def test_reconstruct_repeats_its_record_with_what_is_given_changed(folder: Path) -> None:
    first = ["reconstruct", "photo.png", "-o", "r.png", *COMMON, "-q"]
    assert main([*first, "--content-layer", "relu1_1"]) == 0

    def terms(*arguments: str) -> tuple[set[str], dict]:
        assert main(["reconstruct", "--from", "r.png.run.json", "-o", "x.png", "-q", *arguments]) == 0
        record = json.loads(Path("x.png.run.json").read_text())
        return set(record["history"][0]["terms"]), record["config"]["objective"]

    assert terms("--content-layer", "relu2_1")[0] == {"content/relu2_1", "tv"}
    assert terms("--style-layers", "relu2_1")[0] == {"style/relu2_1", "tv"}
    both, objective = terms(
        "--style-layers", "relu2_1", "--content-layer", "relu1_2", "--content-weight", "7"
    )
    assert both == {"style/relu2_1", "content/relu1_2", "tv"}
    assert objective["content_weight"] == 7


def test_odd_names_of_masks_and_photographs(folder: Path) -> None:
    (folder / "dir#1").mkdir()
    os.replace("left.png", "dir#1/m k.png")
    os.replace("photo.png", "a$_$b.png")
    command = ["transfer", "a$_$b.png", "red.png", "-o", "out.png", *COMMON, "-q", "--masks", "dir#1/m k.png"]
    assert main(command) == 0
    assert main(["transfer", "--from", "out.png.run.json", "-o", "again.png", "-q"]) == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("out.png"))
    sources = [json.loads(Path(f"{n}.png.run.json").read_text())["sources"] for n in ("out", "again")]
    assert sources[0] == sources[1]
    assert main([*command, "--strength-grid", "1"]) == 0
    assert (
        main(["transfer", "--from", "out_strength1.png.run.json", "-o", "w.png", "-q", "--style-weight", "3"])
        == 0
    )
    assert json.loads(Path("w.png.run.json").read_text())["config"]["style_strength"] is None


def test_a_record_names_the_numbers_that_defaults_stand_for(folder: Path) -> None:
    command = ["transfer", "photo.png", "red.png", "-o", "out.png", *COMMON, "-q"]
    assert main(command) == 0
    config = json.loads(Path("out.png.run.json").read_text())["config"]
    assert config["pooling"] == "max"  # VGG's own
    layers = nstjax.load_backbone("weights.npz", "vgg19").layers
    assert config["objective"]["style_weight"] == nstjax.losses.Objective().default_style_weight(layers)

    assert main([*command, "--style-strength", "2", "--scales", "12", "24"]) == 0
    history = json.loads(Path("out.png.run.json").read_text())["history"]
    factors = [entry["factors"] for entry in history if entry["factors"]]
    assert len(factors) == 2, "one for each scale"
    assert all(set(f) == {"content", "style", "tv"} and min(f.values()) > 0 for f in factors)
    assert [entry["iteration"] for entry in history if entry["factors"]] == [1, 1]


def test_a_record_without_a_style_weight_is_repeated_with_the_earlier_default(folder: Path, capsys) -> None:
    explicit = ["transfer", "photo.png", "red.png", "-o", "out.png", *COMMON, "--style-weight", "180"]
    assert main([*explicit, "-q"]) == 0
    path = Path("out.png.run.json")
    record = json.loads(path.read_text())
    record["config"]["objective"]["style_weight"] = None  # as records of earlier versions have it
    path.write_text(json.dumps(record))
    assert main(["transfer", "--from", str(path), "-o", "again.png", "-q"]) == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("out.png"))
    again = json.loads(Path("again.png.run.json").read_text())
    assert again["config"]["objective"]["style_weight"] == 180

    record["config"]["style_strength"] = 1.0
    path.write_text(json.dumps(record))
    assert main(["transfer", "--from", str(path), "-o", "again.png"]) == 0
    assert "the record's style strength had another scale" in capsys.readouterr().err
