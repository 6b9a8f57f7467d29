"""TF32 and bfloat16: what is asked of a device that has them, and how near they are to float32."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from experiments.benchmarks.precision import ChannelsFirst
from nstjax import InputError, TransferConfig
from nstjax.losses import Objective, make_targets
from nstjax.optim import Lbfgs
from nstjax.synthesis.loss import LossNetwork
from tests.helpers.networks import random_backbone

LAYERS = ("relu1_2", "relu2_2", "relu3_1")


def relative(found, expected) -> float:
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def evaluate(backbone, pictures, precision: str):
    """The default objective's value and gradient; targets in float32."""
    content, style = (jnp.asarray(image) for image in pictures)
    config = TransferConfig(precision=precision).for_backbone(backbone)
    exact = LossNetwork(dataclasses.replace(config, precision="float32"), backbone)
    record = config.objective
    targets = make_targets(
        record, exact.features(content, record.content_layers), exact.features(style, record.style_layers)
    )
    fun = LossNetwork(config, backbone).loss(targets, content.shape[1:3])
    x = jnp.asarray(np.random.default_rng(0).uniform(size=content.shape), jnp.float32)
    (value, _), gradient = jax.jit(jax.value_and_grad(fun, has_aux=True))(x)
    return value, gradient


@pytest.mark.parametrize("how", ["auto", "plain"])
def test_bfloat16_activations_are_near_and_come_as_float32(pictures, how: str) -> None:
    backbone = random_backbone(convs=5)
    content = jnp.asarray(pictures[0])
    exact = nstjax.features(backbone, content, LAYERS, convolution=how, precision="float32")
    half = nstjax.features(backbone, content, LAYERS, convolution=how, precision="bfloat16")
    for name in LAYERS:
        assert half[name].dtype == jnp.float32
        assert 1e-5 < relative(half[name], exact[name]) < 1e-2


def test_bfloat16_loss_and_gradient_are_near(pictures) -> None:
    backbone = random_backbone(convs=5)
    exact, half = (evaluate(backbone, pictures, precision) for precision in ("float32", "bfloat16"))
    assert half[1].dtype == jnp.float32
    assert relative(half[0], exact[0]) < 1e-2
    assert (
        1e-5 < relative(half[1], exact[1]) < 0.1
    )  # a rounded activation may fall on the other side of a ReLU


def test_on_a_cpu_tf32_is_float32(pictures) -> None:
    backbone = random_backbone(convs=3)
    exact, quick = (evaluate(backbone, pictures, precision) for precision in ("float32", "tf32"))
    np.testing.assert_array_equal(quick[0], exact[0])
    np.testing.assert_array_equal(quick[1], exact[1])


@pytest.mark.parametrize(
    ("precision", "asked", "kind"),
    [
        ("float32", "HIGHEST", "f32"),
        ("tf32", "HIGH", "f32"),
        ("bfloat16", "DEFAULT", "bf16"),
        (None, "DEFAULT", "f32"),
    ],
)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_what_is_asked_of_a_gpu_and_a_tpu(platform: str, precision, asked: str, kind: str) -> None:
    """Of every convolution, forward and backward: read from the program made for that platform, which is not run."""
    backbone = random_backbone(convs=4)

    def loss(image: jax.Array) -> jax.Array:
        return jnp.square(
            nstjax.features(backbone, image, ("relu2_2",), precision=precision)["relu2_2"]
        ).sum()

    traced = jax.jit(jax.grad(loss)).trace(jnp.zeros((1, 64, 64, 3)))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    found = re.findall(r"stablehlo\.convolution.*?-> tensor<[\dx]+x(\w+)>", text)
    precisions = re.findall(
        r"precision_config = \[#stablehlo<precision (\w+)>, #stablehlo<precision (\w+)>\]", text
    )
    assert len(found) == 8
    assert set(found) == {kind}
    assert set(precisions) <= {(asked, asked)}
    assert len(precisions) == 8 or asked == "DEFAULT"  # which is not always written


def test_a_transfer_in_bfloat16_paints_nearly_the_same(small, pictures) -> None:
    objective = Objective(style_weight=180.0, tv_weight=1.0)
    config = TransferConfig(
        objective=objective, size=64, scales=(64,), pooling="average", optimizer=Lbfgs(iterations=10)
    )
    exact, half = (
        nstjax.transfer(*pictures, small, dataclasses.replace(config, precision=precision))
        for precision in ("float32", "bfloat16")
    )
    assert half.image.dtype == np.float32
    assert half.history[-1].loss < 0.5 * half.history[0].loss
    assert abs(half.history[-1].loss / exact.history[-1].loss - 1) < 0.1
    assert 0 < np.abs(half.image - exact.image).mean() < 0.03


def test_an_unknown_precision_is_refused(small, pictures) -> None:
    with pytest.raises(InputError, match="precision"):
        TransferConfig(precision="float16")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="precision"):
        nstjax.features(small, pictures[0], ("relu1_1",), precision="half")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(48, 64), (37, 51)], ids=["even", "odd"])
def test_the_benchmark_s_channels_first_network_is_the_same_one(size: tuple[int, int]) -> None:
    backbone = random_backbone(convs=5)
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(1, *size, 3)), jnp.float32)
    expected = nstjax.features(backbone, image, LAYERS, "max", convolution="plain", precision="float32")
    found = ChannelsFirst("float32")(backbone, image, LAYERS)
    for name in LAYERS:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5 * float(expected[name].max()))
