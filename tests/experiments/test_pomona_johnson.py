"""Thesis, chapters 3 to 5: its measures and settings, one whole pass at a toy size; and the training benchmark."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import nstjax
from experiments.benchmarks import training as benchmark
from experiments.pomona_johnson import __main__ as pomona
from experiments.pomona_johnson import measures, settings
from experiments.trained import TrainArguments
from nstjax.training import TRAIN_PRESETS, TrainConfig
from tests.helpers.training import NETWORK


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(size=(1, height, width, 3))
    return ndimage.gaussian_filter(noise, (0, 1.0, 1.0, 0)).astype(np.float32)


def pattern(height: int, width: int, period: int, amplitude: float) -> np.ndarray:
    """Columns of ±amplitude."""
    wave = np.where(np.arange(width) % period < period / 2, amplitude, -amplitude)
    return np.broadcast_to(wave[None, None, :, None], (1, height, width, 3)).astype(np.float32)


def test_the_spectrum_stands_out_for_the_strides_patterns_alone() -> None:
    photo = smooth(96, 128)
    plain = measures.checkerboard_ratio(photo)
    assert 0.2 < plain < 2
    for period in (2, 4):
        assert measures.checkerboard_ratio(photo + pattern(96, 128, period, 0.02)) > 5 * plain
    eight = photo + pattern(96, 128, 8, 0.02)
    assert measures.checkerboard_ratio(eight, 8) > 5 * measures.checkerboard_ratio(photo, 8)
    slow = 0.02 * np.sin(2 * np.pi * np.arange(128) / 16)[None, None, :, None].astype(np.float32)
    assert measures.checkerboard_ratio(photo + slow) < 2 * plain


def test_the_pattern_s_amplitude_is_in_8_bit_steps_and_blind_to_slopes() -> None:
    slope = np.linspace(0, 1, 128, dtype=np.float32)[None, None, :, None] * np.ones((1, 96, 1, 3), np.float32)
    assert measures.checkerboard_amplitude(slope) < 0.01
    for period in (2, 4):
        found = measures.checkerboard_amplitude(slope + pattern(96, 128, period, 3 / 255))
        assert found == pytest.approx(3, rel=0.01)
    other = 3 / 255 * np.sin(2 * np.pi * np.arange(120) / 6)[None, None, :, None] * np.ones((1, 96, 1, 3))
    assert measures.checkerboard_amplitude(other) < 0.1  # no period of the network's


def test_contrast_keeps_the_mean_and_scales_the_rest() -> None:
    photo = smooth(20, 24)
    np.testing.assert_allclose(measures.with_contrast(photo, 1.0), photo, atol=1e-6)
    half = measures.with_contrast(photo, 0.5)
    np.testing.assert_allclose(half.mean((1, 2)), photo.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(half.std((1, 2)), photo.std((1, 2)) / 2, rtol=1e-4)
    assert measures.rms(photo + np.float32(2 / 255), photo) == pytest.approx(2, rel=1e-4)


def test_a_border_shows_where_a_network_sees_beyond_it_and_not_inside() -> None:
    photo = smooth(128, 144)
    assert measures.border_error(lambda x: 1 - x, photo, 16) == (0, 0)

    def blur(x: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(x, (1, 5, 5, 1), mode="constant")

    strip, inner = measures.border_error(blur, photo, 16)
    assert strip > 5
    assert inner == pytest.approx(0, abs=1e-4)


def test_quarters_are_put_together_and_a_seam_is_seen() -> None:
    photo = smooth(50, 66)
    whole = measures.painted_in_quarters(lambda x: 1 - x, photo)
    np.testing.assert_array_equal(whole, 1 - photo)
    assert measures.seam(whole, 1 - photo) == 1
    moved = measures.painted_in_quarters(lambda x: x - x.mean((1, 2), keepdims=True), photo * 0.1 + photo)
    assert measures.seam(moved, photo * 0.1 + photo) != 1


def test_the_weights_keep_the_thesis_s_factors() -> None:
    base = settings.objective(settings.Variant())
    assert (base.beta, base.tv_weight) == (
        settings.STYLE_UNIT["absolute"],
        pytest.approx(settings.TV_UNIT / 1000),
    )
    by_ratio = [settings.objective(settings.Variant(ratio=r)).beta for r in (100, 500, 1000, 10000)]
    np.testing.assert_allclose(by_ratio, by_ratio[0] * np.array([1, 5, 10, 100]))
    by_tv = [settings.objective(settings.Variant(tv=v)).tv_weight for v in (1, 1 / 10, 1 / 100, 1 / 1000)]
    np.testing.assert_allclose(by_tv, by_tv[0] * np.array([1, 0.1, 0.01, 0.001]))
    for distance in ("squared", "absolute"):  # the common one has one of them
        assert len(set(settings.variants(distance).values())) == 13
    full = settings.train_config(settings.Variant(), settings.FULL, "photographs")
    assert full == dataclasses.replace(
        TRAIN_PRESETS["pomona"], data=dataclasses.replace(TRAIN_PRESETS["pomona"].data, source="photographs")
    )
    assert (full.steps, full.data.batch_size, full.data.size, full.generator.width) == (29_500, 4, 256, 1.0)
    assert full.steps * full.data.batch_size == 118_000  # one pass over COCO


@pytest.mark.toy
def test_pomona_johnson_makes_its_figures_at_a_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, names in (("content", ("golden_gate",)), ("style", ("starry_night",)), ("train", "abcde")):
        (tmp_path / kind).mkdir()
        for i, name in enumerate(names):
            nstjax.save_image(tmp_path / kind / f"{name}.png", smooth(160, 200, i))
    tiny = settings.Scale(0.125, 16, 2, 1e-3, "cosine", 1.0, 32, 96, 0, 2, (1.0, 1.25), "squared")
    monkeypatch.setattr(settings, "SMALL", tiny)
    monkeypatch.setattr(pomona, "enable_compilation_cache", lambda: None)
    arguments = TrainArguments(images=tmp_path, out=tmp_path / "out", photographs=tmp_path / "train")
    pomona.main(arguments)
    for figure in ("5_2", "5_3", "5_5", "5_6", "5_7"):
        assert (tmp_path / "out" / f"figure_{figure}.jpg").stat().st_size > 5000
    for figure in ("upsampling", "borders"):
        assert (tmp_path / "out" / f"{figure}.jpg").stat().st_size > 5000
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(settings.variants("squared")) - {"l2"} <= set(results)
    assert results["johnson"]["differs_in"] == {"norm": "batch", "upsampling": "transposed"}
    assert results["measures"]["seams"]["bands"]["rms"] < 0.01


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("upsampling", ["bilinear", pytest.param("nearest", marks=pytest.mark.slow)])
def test_the_benchmark_s_two_trainings_are_the_same(upsampling: str) -> None:
    pytest.importorskip("torch")
    config = benchmark.make_config(16, 0.125, upsampling, 2)
    generator = dataclasses.replace(config.generator, residual_blocks=0)
    objective = dataclasses.replace(
        config.objective, content_layers=("relu2_1",), style_layers=("relu1_1", "relu2_1")
    )
    config = dataclasses.replace(config, generator=generator, objective=objective)
    assert isinstance(config, TrainConfig)
    found = benchmark.case(config, NETWORK, 1, False)
    assert found["relative_difference_of_loss_and_gradient"] < 1e-4
    assert found["ratio"] > 0
