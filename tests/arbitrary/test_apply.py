"""One pass with any style image: regions, strength, blends, sizes, storage, and the command, with an untrained decoder."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax import programs
from nstjax.arbitrary import store
from nstjax.arbitrary.apply import (
    Decoder,
    arbitrary_bytes,
    default_scale_count,
    prepare_style,
    stylize_arbitrary,
)
from nstjax.arbitrary.decoder import DECODER_LAYERS, DecoderConfig, init_decoder
from nstjax.arbitrary.stages import Recipe, adapt, analyze, encode, outline, transported
from nstjax.arbitrary.store import load_decoder, save_decoder
from nstjax.arbitrary.transport import moments_of
from nstjax.cli.job import record_path
from nstjax.cli.main import main
from nstjax.sealed import SealedFolder
from nstjax.typing import Backbone

CONFIG = DecoderConfig(channels=(4, 4, 6, 8, 8), code=6)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return nstjax.load_backbone("embedded")


@pytest.fixture(scope="module")
def decoder(backbone: Backbone) -> Decoder:
    params = init_decoder(CONFIG, jax.random.key(0))
    rng = np.random.default_rng(0)  # scales and biases that depend on the style
    for name, leaves in params.items():
        if name.endswith("_norm"):
            leaves["kernel"] = jnp.asarray(rng.normal(0, 0.3, leaves["kernel"].shape), jnp.float32)
    seen = encode(backbone, jnp.asarray(picture(0, 64, 64)))
    sizes = tuple(float(jnp.sqrt(jnp.mean(x**2))) for x in seen)
    return Decoder(CONFIG, params, sizes, {"style": "any"})


def picture(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(size=(1, height // 8 + 1, width // 8 + 1, 3)).repeat(8, 1).repeat(8, 2)
    return (0.7 * coarse[:, :height, :width] + 0.3 * rng.uniform(size=(1, height, width, 3))).astype(
        np.float32
    )


PHOTO, ONE, OTHER = picture(1), picture(2, 48, 40), picture(3)


def test_the_transported_activations_have_the_moments_of_the_style(
    backbone: Backbone, decoder: Decoder
) -> None:
    style = prepare_style(backbone, ONE).moments
    found = transported(encode(backbone, jnp.asarray(picture(4, 96, 96))), style, decoder.sizes)
    assert [x.shape[1] for x in found] == [96 // 2**k for k in range(len(DECODER_LAYERS))]
    for x, of, size in list(zip(found, style, decoder.sizes, strict=True))[
        :3
    ]:  # the deepest have few positions
        np.testing.assert_allclose(moments_of(x).mean, of.mean / size, atol=1e-3)
        deviation = np.abs(moments_of(x).covariance - of.covariance / size**2).max()
        assert deviation < 0.02 * float(jnp.trace(of.covariance[0])) / size**2


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_any_size_comes_out_as_it_went_in(
    backbone: Backbone, decoder: Decoder, size: tuple[int, int]
) -> None:
    found = stylize_arbitrary(decoder, backbone, picture(5, *size), ONE)
    assert found.shape == (1, *size, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() < found.max() <= 1
    assert found.std() > 0.02


def test_the_style_matters_and_its_moments_are_enough(backbone: Backbone, decoder: Decoder) -> None:
    one, other = (stylize_arbitrary(decoder, backbone, PHOTO, style) for style in (ONE, OTHER))
    assert np.abs(one - other).mean() > 0.01
    prepared = prepare_style(backbone, ONE)
    for style in (prepared, [prepared]):
        np.testing.assert_array_equal(one, stylize_arbitrary(decoder, backbone, PHOTO, style))


def test_blends_and_strength(backbone: Backbone, decoder: Decoder) -> None:
    def paint(*styles: np.ndarray, **options: object) -> np.ndarray:
        return stylize_arbitrary(decoder, backbone, PHOTO, list(styles), **options)  # type: ignore[arg-type]

    one = paint(ONE)
    np.testing.assert_allclose(paint(ONE, OTHER, weights=(1, 0)), one, atol=2e-4)
    np.testing.assert_allclose(paint(ONE, ONE), one, atol=2e-4)
    np.testing.assert_allclose(
        paint(ONE, OTHER, weights=(1, 3)), paint(ONE, OTHER, weights=(2, 6)), atol=1e-6
    )
    assert np.abs(paint(ONE, OTHER) - one).mean() > 0.002
    np.testing.assert_allclose(paint(ONE, strength=0), paint(OTHER, strength=0), atol=2e-4)
    assert np.abs(paint(ONE, strength=0.5) - one).mean() > 0.002


def test_regions(backbone: Backbone, decoder: Decoder) -> None:
    left = np.zeros(PHOTO.shape[1:3], np.float32)
    left[:, : left.shape[1] // 2] = 1
    all_ = np.ones_like(left)

    def paint(styles: list[np.ndarray], masks: list[np.ndarray], strength: float = 1.0) -> np.ndarray:
        return stylize_arbitrary(decoder, backbone, PHOTO, styles, masks=masks, strength=strength)

    # The deepest layer has fewer positions than channels, so its map amplifies rounding errors.
    plain = stylize_arbitrary(decoder, backbone, PHOTO, ONE)
    for found in (paint([ONE], [all_]), paint([ONE, ONE], [all_, all_])):
        assert np.abs(found - plain).mean() < 3e-3
        assert np.abs(found - plain).max() < 0.05
    halves, swapped = paint([ONE, OTHER], [left, 1 - left]), paint([OTHER, ONE], [left, 1 - left])
    assert np.abs(halves - swapped).mean() > 0.01
    np.testing.assert_allclose(halves, paint([OTHER, ONE], [1 - left, left]), atol=1e-4)
    half = paint([ONE], [left])  # what no mask covers keeps the photograph
    np.testing.assert_allclose(half[:, :, left.shape[1] // 2 :], PHOTO[:, :, left.shape[1] // 2 :], atol=1e-6)
    assert np.abs(half - PHOTO)[:, :, : left.shape[1] // 2].mean() > 0.02


def test_the_noise_has_a_seed(backbone: Backbone, decoder: Decoder) -> None:
    one, again, other = (stylize_arbitrary(decoder, backbone, PHOTO, ONE, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 1e-3


def test_coarse_to_fine(backbone: Backbone, decoder: Decoder) -> None:
    photo = picture(7, 96, 80)
    small = np.asarray(nstjax.images.resize(photo, 48, 40)).clip(0, 1)
    coarse = stylize_arbitrary(decoder, backbone, small, ONE, scale_count=1)
    start = np.asarray((photo + nstjax.images.resize(coarse, 96, 80, "linear")) / 2)
    both = stylize_arbitrary(decoder, backbone, photo, ONE, scale_count=2)
    found = stylize_arbitrary(decoder, backbone, start, ONE, scale_count=1)
    # The deepest layer has fewer positions than channels, so its map amplifies rounding errors.
    assert np.abs(both - found).mean() < 4e-3
    assert np.abs(both - stylize_arbitrary(decoder, backbone, photo, ONE, scale_count=1)).mean() > 0.015
    left = np.zeros((96, 80), np.float32)
    left[:, :40] = 1  # what no mask covers keeps the photograph, not the mean with the coarser picture
    half = stylize_arbitrary(decoder, backbone, photo, ONE, masks=[left], scale_count=2)
    np.testing.assert_allclose(half[:, :, 40:], photo[:, :, 40:], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "count"),
    [((256, 256), 1), ((400, 300), 2), ((384, 512), 2), ((1024, 700), 3), ((2048, 64), 2), ((33, 40), 1)],
)
def test_the_coarsest_scale_has_about_256_pixels(size: tuple[int, int], count: int) -> None:
    assert default_scale_count(*size) == count


@pytest.mark.parametrize("regions", [0, 2])
def test_the_outline_has_the_shapes_of_the_results(
    backbone: Backbone, decoder: Decoder, regions: int
) -> None:
    size = (40, 56)
    masks = None
    if regions:
        masks = [jnp.full((regions, 48 >> k, 64 >> k), 1 / regions) for k in range(len(DECODER_LAYERS))]
    styles = [list(prepare_style(backbone, ONE).moments)] * max(1, regions)
    weights = np.ones(len(styles), np.float32)
    found = analyze(backbone, PHOTO[:, :40], None, masks, weights, decoder.sizes)
    recipe = Recipe(decoder.config, decoder.sizes)
    moments = jax.device_get((found.moments, found.regions))
    adapted = adapt(decoder.params, *moments, styles, weights, recipe)
    for wanted, real in zip(outline(decoder.config, size, regions), (found, adapted), strict=True):
        assert jax.tree.structure(wanted) == jax.tree.structure(real)
        for one, other in zip(jax.tree.leaves(wanted), jax.tree.leaves(real), strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            assert not getattr(other, "weak_type", False)


def test_the_prepared_programs_are_those_that_run(
    backbone: Backbone, decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(programs._kept, "folder", SealedFolder(tmp_path / "programs"))
    monkeypatch.setattr(programs, "_loaded", {})
    prepared = set()
    prepare = programs.prepare

    def recorded(requests: list[programs.ProgramRequest]) -> None:
        prepare(requests)
        prepared.update(programs._loaded)

    monkeypatch.setattr(programs, "prepare", recorded)
    stylize_arbitrary(decoder, backbone, picture(7, 96, 80), [ONE, OTHER], scale_count=2)
    assert set(programs._loaded) == prepared
    assert len(prepared) == 6  # two sizes of style images; two scales


def test_strength_0_keeps_the_details_of_the_photograph(backbone: Backbone, decoder: Decoder) -> None:
    photo = picture(7, 96, 80)
    one, two = (
        stylize_arbitrary(decoder, backbone, photo, ONE, strength=0, scale_count=count) for count in (1, 2)
    )
    # The noise of the finest scale is the same; the coarser picture has no effect.
    np.testing.assert_allclose(one, two, atol=2e-3)
    masks = [np.ones((96, 80), np.float32)]
    for count in (1, 2):
        found = stylize_arbitrary(decoder, backbone, photo, ONE, masks=masks, strength=0, scale_count=count)
        assert np.abs(found - one).mean() < 3e-3


REFUSED = {
    "a small photograph": ({"photo": PHOTO[:, :16]}, "`photo` has 56×16 pixels: each side must have 32"),
    "bytes": ({"photo": (255 * PHOTO).astype(np.uint8)}, "the photo has type uint8"),
    "strength": ({"strength": 1.5}, "`strength`"),
    "weights": ({"weights": (1.0, 2.0)}, "give one number, 0 or more, for each of the 1"),
    "no weight": ({"weights": (0.0,)}, "`weights` is"),
    "masks": ({"masks": []}, "`masks` needs one mask for each style image"),
    "mask": ({"masks": [np.ones((3, 3))]}, "it must be that of the photograph"),
    "masks of two shapes": (
        {"styles": [ONE, ONE], "masks": [np.ones(PHOTO.shape[1:3]), np.ones((3, 3))]},
        "it must be that of the photograph",
    ),
    "a mask of NaN": ({"masks": [np.full(PHOTO.shape[1:3], np.nan)]}, r"a mask has values outside \[0, 1\]"),
    "a photograph of NaN": ({"photo": PHOTO * np.float32("nan")}, "not finite"),
    "a style of bytes": ({"styles": (255 * ONE).astype(np.uint8)}, "the style has type uint8"),
    "a style beyond 1": ({"styles": 255 * ONE}, "style"),
    "a thin style": ({"styles": np.ones((1, 20, 400, 3), np.float32)}, "its shorter side must have 32"),
    "a seed": ({"seed": -1}, "`seed`"),
    "no scale": ({"scale_count": 0}, "`scale_count`"),
    "too many scales": (
        {"scale_count": 3},
        "`scale_count` is 3: the coarsest scale of 56×40 pixels would have",
    ),
    "method": ({"method": "monge"}, "`method`"),
    "no style size": ({"style_size": 0}, "`style_size` is 0: it must be between 32"),
    "a large style size": ({"style_size": 100_000}, "`style_size` is 100000: it must be between 32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(backbone: Backbone, decoder: Decoder, name: str) -> None:
    options, message = REFUSED[name]
    given = {"photo": PHOTO, "styles": ONE, **options}
    with pytest.raises(nstjax.InputError, match=message):
        stylize_arbitrary(decoder, backbone, **given)  # type: ignore[arg-type]


def test_another_network_is_refused(backbone: Backbone, decoder: Decoder) -> None:
    trained = dataclasses.replace(decoder, record={"weights": {"sha256": "0" * 64}})
    with pytest.raises(nstjax.InputError, match="not the one with which the decoder was trained"):
        stylize_arbitrary(trained, backbone, PHOTO, ONE)
    with pytest.raises(nstjax.InputError, match="not the one with which the decoder was trained"):
        stylize_arbitrary(decoder, nstjax.load_backbone("embedded-v1"), PHOTO, ONE)


def test_a_store_keeps_the_decoder_in_8_bits(backbone: Backbone, decoder: Decoder, tmp_path: Path) -> None:
    save_decoder(tmp_path / "any", decoder)
    found = load_decoder(tmp_path / "any")
    assert found.config == decoder.config
    assert found.sizes == decoder.sizes
    assert found.record["style"] == "any"
    pictures = [stylize_arbitrary(one, backbone, PHOTO, ONE) for one in (decoder, found)]
    assert np.abs(pictures[0] - pictures[1]).max() < 0.05
    with pytest.raises(nstjax.InputError, match=r"nothing"):
        load_decoder(tmp_path / "nothing")
    with pytest.raises(nstjax.InputError, match="is not a decoder for arbitrary styles"):
        load_decoder(Path(nstjax.__file__).parents[1] / "ckpts" / "gallery")


def test_memory_grows_with_the_picture() -> None:
    small, large = (arbitrary_bytes(DecoderConfig(), side, side) for side in (512, 2048))
    assert 0.5e9 < small < 2e9
    assert 2e9 < large < 2e10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: Decoder) -> Path:
    """A folder with a photograph and two style images, in place of the working directory; the decoder is installed."""
    save_decoder(tmp_path / "shipped" / store.SHIPPED, decoder)
    monkeypatch.setattr(store, "shipped_folder", lambda: tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    thin = np.ones((1, 20, 400, 3), np.float32)
    for name, image in (("photo.png", PHOTO), ("a.png", ONE), ("b.png", OTHER), ("thin.png", thin)):
        nstjax.save_image(name, image)
    return tmp_path


def test_the_command(folder: Path) -> None:
    assert main(["stylize", "photo.png", "--style", "a.png", "-o", "one.png", "-q"]) == 0
    one = nstjax.load_image("one.png")
    assert one.shape == PHOTO.shape
    record = json.loads(record_path(Path("one.png")).read_text())
    assert record["model"]["styles"] == ["a.png"]
    assert set(record["inputs"]) == {"0", "style 1"}
    assert "noise_scale" not in record["config"]
    assert (
        main(
            [
                "stylize",
                "photo.png",
                "--style",
                "a.png:0.25,b.png:0.75",
                "-o",
                "blend.png",
                "-q",
                "--size",
                "48",
            ]
        )
        == 0
    )
    assert nstjax.load_image("blend.png").shape[2] == 48
    masks, mask = ["--masks", "box:0,0,0.5,1", "rest"], ["--masks", str(folder / "elsewhere.png")]
    assert main(["stylize", "photo.png", "--style", "a.png,b.png", *masks, "-o", "two.png", "-q"]) == 0
    assert np.abs(nstjax.load_image("two.png") - one).mean() > 0.005
    nstjax.save_image("elsewhere.png", np.ones_like(PHOTO))
    assert main(["stylize", "photo.png", "--style", "a.png", *mask, "-o", "masked.png", "-q"]) == 0
    assert json.loads(record_path(Path("masked.png")).read_text())["config"]["masks"] == ["elsewhere.png"]
    Path("photos").mkdir()
    shutil.copy("photo.png", "photos/x.png")
    shutil.copy("b.png", "photos/y.png")
    assert (
        main(
            [
                "stylize",
                "photos",
                "--style",
                "a.png",
                "-o",
                "done",
                "-q",
                "--transport",
                "adain",
                "--strength",
                "0.5",
            ]
        )
        == 0
    )
    assert {path.name for path in Path("done").iterdir()} == {"x.png", "y.png", "stylize.run.json"}


MISTAKES = {
    "--style nothing.jpg": "--style nothing.jpg is not a file",
    "--style a.png:0,b.png:0": "the weights are all 0",
    "--style a.png:-1,b.png": "it must be a number, 0 or more",
    "--style a.png:nan,b.png": "it must be a number, 0 or more",
    "--style a.png:0.5": "has a weight for its only image: use --strength",
    "--style a.png,": "has a part without a name",
    "--style a.png:1,b.png:2 --masks all all": "--style has weights, which have no effect with --masks",
    "--style thin.png": "--style thin.png: the style image has",
    "--style a.png --masks nothing.png": "nothing.png",
    "--style a.png --size 40": "--size: a picture of 40×29 pixels is too small",
    "": "--style is missing: name a style image, or a trained generator with --model",
    "--style a.png --masks box:0,0,0.5,1 rest": "--masks give 2 regions for 1 style images: give one for each",
    "--style a.png --sheet": "--sheet shows the styles of a model",
    "--model gallery --masks box:0,0,1,1": "--masks does not go with --model: leave it out",
    "--model gallery --style-size 256": "--style-size does not go with --model",
    "--style a.png --tile 64": "--tile does not go without --model",
    "--style a.png --style-size 8": "--style-size is 8",
    "--style a.png --scale-count 8": "--scale-count is 8: the coarsest scale of 56×40 pixels would have",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_mistakes_are_one_sentence(folder: Path, options: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stylize", "photo.png", *options.split(), "-o", "out.png"]) == 2
    err = capsys.readouterr().err
    assert MISTAKES[options] in err
    assert len(err.splitlines()) == 1
    assert not Path("out.png").exists()


def test_no_input_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    shutil.copy("a.png", "out/photo.png")
    before = Path("a.png").read_bytes()
    for arguments, name in (
        (["photo.png", "--style", "a.png", "-o", "a.png"], "--style"),
        (["photo.png", "--style", "b.png", "--masks", "a.png", "-o", "a.png"], "--masks"),
        (["photo.png", "b.png", "--style", "out/photo.png", "-o", "out"], "--style"),
    ):
        assert main(["stylize", *arguments]) == 2
        assert f"is also {name}, which would be overwritten" in capsys.readouterr().err
    assert Path("a.png").read_bytes() == Path("out/photo.png").read_bytes() == before
