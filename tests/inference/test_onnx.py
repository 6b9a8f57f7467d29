"""ONNX models against the generators they are made from."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import nstjax
from nstjax.cli.main import main
from nstjax.generators import GeneratorConfig, JohnsonConfig, UlyanovConfig, draw_noise, generate
from nstjax.generators.store import Generator, save_generator
from nstjax.inference import onnx as exporter
from tests.helpers.generators import shuffled

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

SMALL = {"width": 0.125, "residual_blocks": 1}
CONFIGS: dict[str, GeneratorConfig] = {
    "nearest": JohnsonConfig(**SMALL, upsampling="nearest"),
    "bilinear, zeros, linear": JohnsonConfig(**SMALL, padding="zeros", output="linear", downsamplings=1),
    "transposed, batch": JohnsonConfig(**SMALL, norm="batch", upsampling="transposed", last_kernel=3),
    "skips, noise": JohnsonConfig(
        **SMALL, downsamplings=3, skips=True, noise=2, upsampling="nearest", up_norm=False
    ),
    "ulyanov": UlyanovConfig(scales=3, channels=2),
    "circular texture": UlyanovConfig(
        scales=2,
        channels=2,
        norm="instance",
        padding="circular",
        content=False,
        join_norm=True,
        output="tanh",
    ),
}


@pytest.mark.parametrize(
    "name",
    [name if name == "skips, noise" else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS],
)
def test_the_model_is_the_generator(name: str) -> None:
    config = CONFIGS[name]
    generator = Generator(config, shuffled(config), {})
    model = exporter.onnx_model(generator)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for count, height, width in ((1, 16, 16), (2, 32, 48), (1, 24, 64)):
        noise = draw_noise(config, jax.random.split(jax.random.key(height), count), height, width)
        image = np.random.default_rng(width).uniform(size=(count, height, width, 3)).astype(np.float32)
        inputs = {"image": image} if config.content else {}
        want = generate(config, generator.variables, inputs.get("image"), noise, size=(height, width))
        inputs |= {f"noise{k}": np.asarray(z) for k, z in enumerate(noise)}
        (found,) = session.run(None, inputs)
        np.testing.assert_allclose(found, np.asarray(want).clip(0, 1), atol=1e-4)
        assert found.std() > 0.01
    facts = json.loads({entry.key: entry.value for entry in model.metadata_props}["nstjax"])
    assert facts["multiple"] == config.plan().multiple


@pytest.mark.slow
def test_the_command_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, path = str(tmp_path / "two"), tmp_path / "dots.onnx"
    config = dataclasses.replace(CONFIGS["skips, noise"], styles=2)
    save_generator(Path(model), config, shuffled(config), {"styles": [{"name": "waves"}, {"name": "dots"}]})
    assert main(["export", "--model", model, "--style", "dots", "-o", str(path)]) == 0
    said = capsys.readouterr().out
    assert "checked with onnxruntime" in said
    assert "takes image (n×height×width×3)" in said
    photo = np.random.default_rng(0).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    generator = nstjax.load_generator(model)
    noise = draw_noise(generator.config, jax.random.key(0)[None], 64, 64)
    inputs = {"image": photo} | {f"noise{k}": np.asarray(z) for k, z in enumerate(noise)}
    (found,) = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)
    np.testing.assert_allclose(found, nstjax.stylize(generator, photo, style="dots"), atol=1e-4)
    assert main(["export", "--model", model, "--style", "dots", "-o", str(path), "--size", "64", "64"]) == 2
    assert "--size does not go with .onnx" in capsys.readouterr().err


def test_a_model_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIGS["nearest"]
    generator = Generator(config, shuffled(config), {})
    monkeypatch.setattr(exporter, "EPSILON", 0.1)
    with pytest.raises(nstjax.InputError, match="the ONNX model differs from the generator by"):
        exporter.export_onnx(generator, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    config = CONFIGS["nearest"]
    with pytest.raises(nstjax.InputError, match=r"needs the package onnx: pip install 'nstjax\[onnx\]'"):
        exporter.onnx_model(Generator(config, shuffled(config), {}))


def test_the_least_size_and_float64_mode(tmp_path: Path) -> None:
    for name in ("nearest", "skips, noise", "bilinear, zeros, linear"):
        generator = Generator(CONFIGS[name], shuffled(CONFIGS[name]), {})
        with jax.enable_x64(True):
            found = exporter.export_onnx(generator, tmp_path / "model.onnx")
        assert found["largest_difference"] < 1e-4
        model = exporter.onnx_model(generator)
        (facts,) = (json.loads(entry.value) for entry in model.metadata_props if entry.key == "nstjax")
        side = facts["least_side"]
        assert side == 3 * facts["multiple"]
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        noise = draw_noise(generator.config, jax.random.key(0)[None], side, side)
        inputs = {f"noise{k}": np.asarray(z) for k, z in enumerate(noise)}
        inputs["image"] = np.random.default_rng(0).uniform(size=(1, side, side, 3)).astype(np.float32)
        assert session.run(None, inputs)[0].shape == (1, side, side, 3)
