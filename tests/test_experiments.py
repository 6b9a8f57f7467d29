"""The experiments: their settings, their measures, and one whole pass at a toy size."""

import dataclasses
import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import nstjax
from experiments import common
from experiments.ahmedabad_vgg import __main__ as ahmedabad
from experiments.benchmarks import controls
from experiments.brown_gatys import __main__ as brown
from experiments.common import Arguments, Lab, complexity, detail_correlation, nearest_layers
from experiments.duke_gatys import __main__ as duke
from experiments.li2017_mmd import __main__ as li2017
from experiments.pomona_representations import __main__ as pomona
from experiments.stanford_controls import __main__ as stanford
from nstjax.optim import Lbfgs
from nstjax.weights.canonical import TORCHVISION
from nstjax.weights.store import save_backbone
from tests.conftest import random_backbone


def test_nearest_layers_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    three_blocks = random_backbone("vgg19", 8)
    assert nearest_layers(three_blocks, ("relu1_1", "relu4_1", "relu5_1")) == ("relu1_1", "relu3_4")
    assert capsys.readouterr().out.count("relu3_4 stands for") == 2
    assert nearest_layers(three_blocks, ("conv2_2", "pool4")) == ("conv2_2", "pool3")


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


def test_duke_s_weight_is_the_report_s_for_torchvision_s_network() -> None:
    backbone = random_backbone("vgg19", 5)
    torchvision = dataclasses.replace(backbone, preprocessing=TORCHVISION)
    assert duke.style_weight(torchvision) == pytest.approx(1e10)
    # Caffe's input is 255·0.226 times as large.
    assert duke.style_weight(backbone) == pytest.approx(1e10 / (255 * 0.226) ** 2, rel=1e-3)


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


def test_ahmedabad_s_layer_weights_are_the_keras_example_s_division() -> None:
    network = random_backbone("vgg19", 5)
    record = ahmedabad.config(network).objective
    rng = np.random.default_rng(0)
    content, style, x = (rng.uniform(size=(1, 16, 24, 3)).astype(np.float32) for _ in range(3))
    apply = nstjax.features
    targets = nstjax.losses.make_targets(
        record, apply(network, content, record.layers), apply(network, style, record.layers)
    )
    _, terms = nstjax.losses.objective(record, apply, network, targets)(x)
    found = apply(network, x, record.layers), apply(network, style, record.layers)
    for name in record.style_layers:
        grams = [nstjax.losses.gram_matrix(f[name])[0].astype(float) for f in found]
        channels = grams[0].shape[0]
        keras = float(((grams[0] - grams[1]) ** 2).sum()) / (4.0 * channels**2 * (16 * 24) ** 2)
        assert float(terms[f"style/{name}"]) == pytest.approx(
            1e-6 / len(record.style_layers) * keras, rel=1e-3
        )


def test_ahmedabad_s_stand_in_is_vgg_16_s_table() -> None:
    stand_in = ahmedabad.vgg16_shape_of(random_backbone("vgg19", 8))
    assert stand_in.layers == nstjax.nn.vgg.layer_names("vgg16", 7)
    assert stand_in.source.startswith("STAND-IN")
    assert (
        nstjax.features(stand_in, np.ones((1, 16, 16, 3), np.float32), ("pool3",))["pool3"].shape[-1] == 256
    )


@pytest.mark.parametrize("name", ["duke_gatys", "brown_gatys", "ahmedabad_vgg"])
def test_settings_build_on_partial_and_whole_networks(name: str) -> None:
    module = importlib.import_module(f"experiments.{name}.__main__")
    for convs in (8, 16):
        backbone = random_backbone("vgg19", convs)
        config = module.config(backbone)
        nstjax.nn.vgg.check_layers(backbone, config.objective.layers)
    whole = module.config(random_backbone("vgg19", 16)).objective
    if name == "brown_gatys":
        assert whole.content_layers == ("relu4_2",)
        assert whole.style_layers == brown.STYLE_LAYERS
    if name == "ahmedabad_vgg":
        assert whole.content_layers == ("relu5_4",)


@pytest.mark.slow
def test_duke_makes_its_figures_at_a_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures
) -> None:
    for kind, names in (("content", ("golden_gate", "b")), ("style", ("starry_night", "udnie"))):
        (tmp_path / kind).mkdir()
        for i, name in enumerate(names):
            nstjax.save_image(tmp_path / kind / f"{name}.png", pictures[i])
    save_backbone(random_backbone("vgg19", 8), tmp_path / "store")
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
    for figure in ("figure_1", "figure_3", "figure_5", "figure_5_balanced", "style_weight"):
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [stanford, pomona, pytest.param(li2017, marks=pytest.mark.toy)],
    ids=lambda m: m.__name__.split(".")[1],
)
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
    save_backbone(random_backbone("vgg19", 8), tmp_path / "store")
    for constant, value in (("SIDE", 24), ("STYLE_SIDE", 32), ("ITERATIONS", 2)):
        if hasattr(module, constant):
            monkeypatch.setattr(module, constant, value)
    if hasattr(module, "BASE"):
        quick = dataclasses.replace(module.BASE, optimizer=Lbfgs(iterations=2), scales=(24,), size=24)
        monkeypatch.setattr(module, "BASE", quick)
    monkeypatch.setattr(
        "sys.argv",
        [
            "x",
            "--weights",
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
