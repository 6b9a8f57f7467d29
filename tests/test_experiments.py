"""The experiments: their settings, their measures, and one whole pass at a toy size."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

import nstjax
from experiments import common
from experiments.ahmedabad_vgg import __main__ as ahmedabad
from experiments.brown_gatys import __main__ as brown
from experiments.common import Arguments, Lab, complexity, detail_correlation, nearest_layers
from experiments.duke_gatys import __main__ as duke
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
