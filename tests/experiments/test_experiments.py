"""The experiments: their settings, their measures, and one whole pass at a toy size."""

import dataclasses
import json
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import nstjax
from experiments import common
from experiments.ahmedabad_vgg import __main__ as ahmedabad
from experiments.benchmarks import controls
from experiments.brown_gatys import __main__ as brown
from experiments.common import Arguments, Lab, complexity, detail_correlation
from experiments.duke_gatys import __main__ as duke
from experiments.gallery import __main__ as gallery
from experiments.li2017_mmd import __main__ as li2017
from experiments.pomona_representations import __main__ as pomona
from experiments.presets import __main__ as presets
from experiments.stanford_controls import __main__ as stanford
from experiments.textures import __main__ as textures
from experiments.yardstick import Yardstick
from nstjax import PRESETS
from nstjax.optim import Lbfgs
from nstjax.synthesis import TEXTURE
from nstjax.weights.store import save_backbone
from tests.helpers.networks import random_backbone


def test_a_layer_that_the_weights_lack_is_refused(tmp_path: Path, pictures) -> None:
    for name, module in (("relu5_1", brown), ("relu5_4", ahmedabad)):
        backbone = random_backbone("vgg19", 8)
        save_backbone(backbone, tmp_path / name / "store")
        lab = Lab(Arguments(str(tmp_path / name / "store"), tmp_path, tmp_path / name / "out"), tmp_path)
        config = module.config(backbone) if module is ahmedabad else module.config()
        with pytest.raises(nstjax.InputError, match="deeper than these vgg19 weights go"):
            lab.run("x", *pictures, config)


def test_figures_are_made_one_by_one_and_results_are_merged(tmp_path: Path, capsys) -> None:
    save_backbone(random_backbone("vgg19", 1), tmp_path / "store")
    save_backbone(random_backbone("vgg19", 2), tmp_path / "other")

    def one(lab: Lab) -> None:
        lab.record("run_one", {"loss": 1.0})
        lab.note("of_one", lab.value)

    def two(lab: Lab) -> None:
        lab.note("of_two", lab.value)

    def made(value: int, *figures: str, weights: str = "store") -> dict:
        arguments = Arguments(str(tmp_path / weights), tmp_path, tmp_path / "out", figures)
        lab = Lab(arguments, tmp_path)
        lab.value = value
        lab.make(one, two)
        return json.loads((tmp_path / "out" / "results.json").read_text())

    assert made(1)["measures"] == {"of_one": 1, "of_two": 1}
    second = made(2, "two")
    assert second["measures"] == {"of_one": 1, "of_two": 2}
    assert second["run_one"] == {"loss": 1.0}
    assert made(3, "one")["measures"] == {"of_one": 3, "of_two": 2}
    # Numbers of other weights do not stand beside these.
    assert made(4, "two", weights="other")["measures"] == {"of_two": 4}
    with pytest.raises(nstjax.InputError, match="--figures three does not exist: the figures are one, two"):
        made(5, "three")
    lab = Lab(Arguments(str(tmp_path / "store"), tmp_path, tmp_path / "out", ("one",)), tmp_path)
    with pytest.raises(nstjax.InputError, match="all of its figures at once"):
        lab.finish()


def test_detail_correlation_is_blind_to_contrast_and_falls_with_blur() -> None:
    photo = np.random.default_rng(0).uniform(size=(1, 40, 40, 3)).astype(np.float32)
    assert detail_correlation(photo, photo) == pytest.approx(1, abs=1e-6)
    assert detail_correlation(0.3 * photo + 0.2, photo) == pytest.approx(1, abs=1e-4)
    assert abs(detail_correlation(photo[:, ::-1], photo)) < 0.1
    blurred = (photo + np.roll(photo, 1, 1) + np.roll(photo, 1, 2)) / 3
    assert detail_correlation(blurred, photo) < 0.9


def test_complexity_orders_plain_before_busy() -> None:
    rng = np.random.default_rng(0)
    plain, busy = (
        np.full((1, 64, 64, 3), 0.4, np.float32),
        rng.uniform(size=(1, 64, 64, 3)).astype(np.float32),
    )
    assert complexity(plain) < 0.01 < complexity(busy)


def test_duke_s_scaling_of_the_weight_keeps_the_balance() -> None:
    """Without biases a VGG is homogeneous: the two conventions give proportional objectives."""
    backbone = random_backbone("vgg19", 5)
    params = {c: {"kernel": w["kernel"], "bias": 0 * w["bias"]} for c, w in backbone.params.items()}
    spread = (0.229 + 0.224 + 0.225) / 3
    unit = nstjax.Preprocessing("RGB", 1.0, (0.5, 0.5, 0.5), (spread,) * 3)
    caffe = nstjax.Preprocessing("RGB", 255.0, (127.5, 127.5, 127.5))
    rng = np.random.default_rng(0)
    content, style, x = (rng.uniform(size=(1, 16, 16, 3)).astype(np.float32) for _ in range(3))
    shares = []
    for preprocessing in (unit, caffe):
        network = dataclasses.replace(backbone, params=params, preprocessing=preprocessing)
        record = duke.config(network).objective
        apply = nstjax.features
        targets = nstjax.losses.make_targets(
            record, apply(network, content, record.layers), apply(network, style, record.layers)
        )
        total, terms = nstjax.losses.objective(record, apply, network, targets)(x)
        shares.append([float(term / total) for term in terms.values()])
    np.testing.assert_allclose(*shares, rtol=1e-3)


def test_ahmedabad_takes_the_last_layer_of_each_network() -> None:
    for arch, convs, layer in (("vgg16", 13, "relu5_3"), ("vgg19", 16, "relu5_4")):
        config = ahmedabad.config(random_backbone(arch, convs))
        assert config.objective.content_layers == (layer,)
        assert config.objective.style_layers == PRESETS["ahmedabad"].objective.style_layers


def test_ahmedabad_s_step_and_loss_do_not_depend_on_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture tiled 2×2 has the loss of one tile, and every pixel takes the same step, but at the borders."""
    network = random_backbone("vgg19", 3)
    rng = np.random.default_rng(0)
    images = [rng.uniform(size=(1, 64, 64, 3)).astype(np.float32) for _ in range(3)]
    found = []
    for tiles in (1, 2):
        monkeypatch.setattr(ahmedabad, "LONG_SIDE", 64 * tiles)
        config = ahmedabad.config(network)
        record = dataclasses.replace(
            config.objective,
            content_layers=("relu2_1",),
            style_layers=("relu1_1", "relu2_1"),
            style_layer_weights=config.objective.style_layer_weights[:2],
        )
        content, style, x = (np.tile(image, (1, tiles, tiles, 1)) for image in images)
        targets = nstjax.losses.make_targets(
            record,
            nstjax.features(network, content, record.layers),
            nstjax.features(network, style, record.layers),
        )
        fun = nstjax.losses.objective(record, nstjax.features, network, targets)
        (loss, _), gradient = jax.value_and_grad(fun, has_aux=True)(x)
        found.append((float(loss), np.asarray(config.optimizer.learning_rate * gradient)[:, 16:48, 16:48]))
    assert found[1][0] == pytest.approx(found[0][0], rel=0.1)  # the borders differ
    np.testing.assert_allclose(found[1][1], found[0][1], atol=0.1 * np.abs(found[0][1]).max())


def test_brown_s_settings_are_the_preset_s_but_for_what_a_figure_varies() -> None:
    assert brown.config() == PRESETS["brown"]
    changed = brown.config(50, rounds=1, pooling="average", content_weight=1.0)
    assert (changed.optimizer.maxfun, changed.optimizer.rounds) == (50, 1)
    assert changed.pooling == "average"
    assert changed.objective == dataclasses.replace(PRESETS["brown"].objective, content_weight=1.0)
    assert brown.SNAPSHOTS[-1] == PRESETS["brown"].optimizer.rounds


@pytest.mark.toy
def test_ahmedabad_and_brown_make_their_figures_at_a_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures
) -> None:
    for kind, names in (
        ("content", ("timber_houses", "tubingen")),
        ("style", {*brown.PAINTINGS, *ahmedabad.PAINTINGS}),
    ):
        (tmp_path / kind).mkdir()
        for name in names:
            nstjax.save_image(tmp_path / kind / f"{name}.png", pictures[kind == "style"])
    save_backbone(random_backbone("vgg19", 16), tmp_path / "vgg19")
    save_backbone(random_backbone("vgg16", 13), tmp_path / "vgg16")
    for module, name, changes in (
        (ahmedabad, "ahmedabad", {"iterations": 3}),
        (brown, "brown", {"maxfun": 1}),
    ):
        optimizer = dataclasses.replace(PRESETS[name].optimizer, **changes)
        monkeypatch.setitem(PRESETS, name, dataclasses.replace(PRESETS[name], optimizer=optimizer))
        monkeypatch.setattr(module, "LONG_SIDE", 24)
        options = [
            "--weights",
            str(tmp_path / "vgg19"),
            "--images",
            str(tmp_path),
            "--out",
            str(tmp_path / name),
        ]
        if module is ahmedabad:
            options += ["--vgg16", str(tmp_path / "vgg16")]
        monkeypatch.setattr("sys.argv", [name, *options])
        module.main()
    for figure in ("networks_great_wave", "networks_udnie"):
        assert (tmp_path / "ahmedabad" / f"{figure}.jpg").stat().st_size > 5000
    figures = ("figure_2", "figure_7", "figure_9", "figure_10", "figures_11_and_13", "starts", "poolings")
    for figure in (*figures, "content_layers", "ratios"):
        assert (tmp_path / "brown" / f"{figure}.jpg").stat().st_size > 5000
    results = json.loads((tmp_path / "ahmedabad" / "results.json").read_text())
    assert results["great_wave_vgg16"]["content_layers"] == ["relu5_3"]
    assert results["great_wave_vgg19"]["content_layers"] == ["relu5_4"]
    monkeypatch.setattr(
        "sys.argv", ["x", *options[:1], str(tmp_path / "vgg16"), *options[2:6], "--vgg16", "y"]
    )
    with pytest.raises(nstjax.InputError):
        ahmedabad.main()


@pytest.mark.slow
def test_duke_makes_its_figures_at_a_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures
) -> None:
    for kind, names in (("content", ("golden_gate", "b")), ("style", ("starry_night", "udnie"))):
        (tmp_path / kind).mkdir()
        for i, name in enumerate(names):
            nstjax.save_image(tmp_path / kind / f"{name}.png", pictures[i])
    save_backbone(random_backbone("vgg19", 12), tmp_path / "store")
    monkeypatch.setattr(duke, "SIDE", 16)
    monkeypatch.setattr(duke, "ITERATIONS", 2)
    arguments = [
        "duke",
        "--weights",
        str(tmp_path / "store"),
        "--images",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    duke.main()
    for figure in ("starts", "figure_1", "figure_3", "figure_5", "figure_5_balanced", "style_weight"):
        assert (tmp_path / "out" / f"{figure}.jpg").stat().st_size > 5000
    assert (tmp_path / "out" / "results.json").exists()
    # Kept runs are not made again.
    monkeypatch.setattr(common.nstjax, "transfer", lambda *_: pytest.fail("made again"))
    duke.figure_5(Lab(Arguments(str(tmp_path / "store"), tmp_path, tmp_path / "out"), tmp_path))
    with pytest.raises(nstjax.InputError, match="has no picture"):
        Lab(Arguments(str(tmp_path / "store"), tmp_path, tmp_path / "out"), tmp_path).picture(
            "content", "monet"
        )


def test_boundary_excess_is_one_for_the_photograph_and_more_for_a_drawn_line() -> None:
    rng = np.random.default_rng(0)
    photo = rng.uniform(size=(1, 80, 80, 3)).astype(np.float32)
    mask = np.zeros((80, 80), np.float32)
    mask[:40] = 1
    assert stanford.boundary_excess(photo, photo, mask) == pytest.approx(1, rel=1e-6)
    halo = photo.copy()
    halo[:, 36:44] += 4.0
    assert stanford.boundary_excess(halo, photo, mask) > 1.5
    faded = photo.copy()
    faded[:, 32:48] *= 0.2
    assert stanford.boundary_excess(faded, photo, mask) < 0.8


def test_colour_distance_knows_colours_and_not_places() -> None:
    rng = np.random.default_rng(0)
    photo = rng.uniform(size=(1, 20, 20, 3)).astype(np.float32)
    shuffled = rng.permutation(photo.reshape(-1, 3)).reshape(photo.shape)
    assert stanford.color_distance(shuffled, photo) == pytest.approx(0, abs=1e-6)
    assert stanford.color_distance(photo[..., ::-1] * 0.5, photo) > 0.05


def test_benchmark_s_masks_share_the_image() -> None:
    for name, four in controls.masks(64).items():
        assert len(four) == controls.REGIONS
        cover = np.sum(four, axis=0)
        assert cover.max() <= 1 + 1e-6, name
        assert cover[:, 8:-8].min() > 0.99, name
    assert (np.sum(controls.masks(64)["quarters"], axis=0) == 1).all()


@pytest.mark.toy
@pytest.mark.parametrize("module", [stanford, pomona, li2017], ids=lambda m: m.__name__.split(".")[1])
def test_control_experiments_make_their_figures_at_a_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures, module
) -> None:
    for kind, names in (
        ("content", ("golden_gate", "tubingen", "timber_houses")),
        ("style", (*stanford.MANY,)),
        ("masks", ("golden_gate_sky", "tubingen_sky", "wheatfield_sky")),
    ):
        (tmp_path / kind).mkdir()
        for name in names:
            image = pictures[0] if kind == "content" else pictures[1]
            if kind == "masks":
                image = np.zeros_like(pictures[1] if name.startswith("wheat") else pictures[0])
                image[:, : image.shape[1] // 2] = 1
            nstjax.save_image(tmp_path / kind / f"{name}.png", image)
    network = random_backbone("vgg16", 13) if module is pomona else random_backbone("vgg19", 16)
    save_backbone(network, tmp_path / "store")
    side = 40 if module is stanford else 24  # a painting at half of it still has relu5_1
    for constant, value in (("SIDE", side), ("STYLE_SIDE", side * 4 // 3), ("ITERATIONS", 2)):
        if hasattr(module, constant):
            monkeypatch.setattr(module, constant, value)
    if hasattr(module, "BASE"):
        quick = dataclasses.replace(module.BASE, optimizer=Lbfgs(iterations=2), scales=(side,), size=side)
        monkeypatch.setattr(module, "BASE", quick)
    monkeypatch.setattr(
        "sys.argv",
        [
            "x",
            "--vgg16" if module is pomona else "--weights",
            str(tmp_path / "store"),
            "--images",
            str(tmp_path),
            "--out",
            str(tmp_path / "out"),
        ],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nstjax.errors.InputWarning)
        module.main()
    figures = {
        stanford: ("spatial", "difficult", "styles", "colors", "feature_size", "blending", "strength"),
        pomona: ("figure_2_3", "figure_2_5", "figure_2_6", "kernels"),
        li2017: ("losses", "absolute", "gaussian", "balance"),
    }[module]
    for figure in figures:
        assert (tmp_path / "out" / f"{figure}.jpg").stat().st_size > 5000
    assert "measures" in (tmp_path / "out" / "results.json").read_text()


@pytest.fixture
def whole_lab(tmp_path: Path, pictures) -> tuple[Path, Path]:
    """A folder with one photograph and one painting, and a whole VGG-19 with random weights."""
    for kind, name, image in (
        ("content", "tubingen", pictures[0]),
        ("content", "swapped", pictures[1][..., ::-1]),
        ("style", "starry_night", pictures[1]),
    ):
        (tmp_path / kind).mkdir(exist_ok=True)
        nstjax.save_image(tmp_path / kind / f"{name}.png", image)
    save_backbone(random_backbone("vgg19", 16), tmp_path / "vgg19")
    return tmp_path, tmp_path / "vgg19"


def test_the_yardstick_is_0_where_nothing_is_lost_or_missing(whole_lab: tuple[Path, Path]) -> None:
    folder, weights = whole_lab
    lab = Lab(Arguments(weights=str(weights), images=folder, out=folder / "out"), folder)
    yardstick = Yardstick(lab)
    photo, painting = lab.picture("content", "tubingen"), lab.picture("style", "starry_night")
    assert yardstick.measure(photo, "tubingen", "starry_night") == {"content_lost": 0.0, "style_missing": 1.0}
    found = yardstick.measure(painting, "swapped", "starry_night")
    assert found["style_missing"] == 0
    assert found["content_lost"] > 0.01
    grey = np.full_like(photo, photo.mean())
    found = yardstick.measure(grey, "tubingen", "starry_night")
    assert found["content_lost"] > 0.3


@pytest.mark.toy
def test_gallery_and_presets_make_their_figures_at_a_toy_size(
    whole_lab: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, weights = whole_lab
    save_backbone(random_backbone("vgg16", 13), folder / "vgg16")
    quick = nstjax.TransferConfig(optimizer=Lbfgs(iterations=2), scales=(24,), size=24)
    monkeypatch.setitem(nstjax.PRESETS, "default", quick)
    for constant, value in (("SIDE", 24), ("LARGE", 32), ("SHOWN", (("tubingen", "starry_night"),))):
        monkeypatch.setattr(gallery, constant, value)
    monkeypatch.setattr(gallery, "STRENGTH_PAIR", ("tubingen", "starry_night"))
    shared = ["--weights", str(weights), "--images", str(folder), "--out"]
    monkeypatch.setattr("sys.argv", ["x", *shared, str(folder / "g"), "--vgg16", str(folder / "vgg16")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nstjax.errors.InputWarning)
        gallery.main()
    for figure in ("pairs_tubingen.jpg", "gallery.jpg", "strengths.jpg", "sizes.jpg"):
        assert (folder / "g" / figure).stat().st_size > 5000
    # Heads; a row a network, of which no pair was tuned on; a row for each of two pairs.
    assert len((folder / "g" / "pairs.md").read_text().splitlines()) == (2 + 3) + 1 + (2 + 2 * 3)

    for constant, value in (("SIDE", 64), ("PAINTINGS", ("starry_night",)), ("WINDOW", 16), ("STEP", 8)):
        monkeypatch.setattr(textures, constant, value)
    monkeypatch.setattr(
        textures, "TEXTURE", dataclasses.replace(TEXTURE, size=64, optimizer=Lbfgs(iterations=2))
    )
    monkeypatch.setattr("sys.argv", ["x", *shared, str(folder / "t")])
    textures.main()
    assert (folder / "t" / "textures_vgg19.jpg").stat().st_size > 5000
    assert "worst_over_median" in (folder / "t" / "results.json").read_text()

    monkeypatch.setattr(presets, "PRESETS", {"default": quick})
    monkeypatch.setattr("sys.argv", ["x", *shared, str(folder / "p")])
    presets.main()
    assert (folder / "p" / "presets.jpg").stat().st_size > 5000
    assert "style_missing" in (folder / "p" / "results.json").read_text()
