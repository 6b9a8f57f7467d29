"""Variances of values that vary little about a large mean: what ``E[x²] − E[x]²`` loses in single precision."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nstjax.generators.norm import moments
from nstjax.inference.moments import deviations, merge_moments, on_host
from nstjax.losses import Objective, RegionFeatures, StyleFeatures, make_targets, objective
from nstjax.losses.spatial import make_plan
from nstjax.losses.statistics import STATISTICS, describe
from nstjax.nn.vgg import steps_to
from nstjax.synthesis.tiled_loss import tiled_objective
from tests.helpers.networks import random_backbone

RNG = np.random.default_rng(0)
# Means of 50 (and −20) and a deviation of 0.01; float32 rounds 50 to 4e-6.
OFFSETS = np.array([50.0, -20.0, 0.0, 7.0])
X = (OFFSETS + 0.01 * RNG.normal(size=(4, 24, 20, 4))).astype(np.float32)
EXACT = X.astype(np.float64)


@pytest.mark.parametrize("batch", [True, False])
def test_the_generators_norms(batch: bool) -> None:
    axes = (0, 1, 2) if batch else (1, 2)
    mean, variance = jax.jit(moments, static_argnums=1)(X, batch)
    np.testing.assert_allclose(mean, EXACT.mean(axes, keepdims=True), rtol=2e-7, atol=1e-7)
    np.testing.assert_allclose(variance, EXACT.var(axes, keepdims=True), rtol=1e-3)


def test_batch_statistics_over_devices() -> None:
    """Devices whose means differ by far more than the deviation, and ones whose means do not."""
    for images in (X[:, None], np.stack([X[:2], X[2:] + np.float32(3.0)])):
        found = jax.vmap(lambda x: moments(x, True, "devices"), axis_name="devices")(images)
        exact = images.astype(np.float64).reshape(-1, 4)
        for mean, variance in zip(*found, strict=True):
            np.testing.assert_allclose(mean.ravel(), exact.mean(0), rtol=2e-7, atol=1e-6)
            np.testing.assert_allclose(variance.ravel(), exact.var(0), rtol=1e-3)


@pytest.mark.slow
def test_the_norms_derivatives_are_those_of_the_variance(x64: None) -> None:
    x, along = RNG.normal(size=(2, 3, 4, 2)) + 5, RNG.normal(size=(2, 3, 4, 2))

    def ours(x):
        mean, variance = moments(x, True)
        return (jnp.sin(mean) * variance**2).sum()

    def plain(x):
        return (jnp.sin(x.mean((0, 1, 2))) * x.var((0, 1, 2)) ** 2).sum()

    np.testing.assert_allclose(jax.grad(ours)(x), jax.grad(plain)(x), rtol=1e-10, atol=1e-13)
    found, expected = (jax.jvp(jax.grad(f), (x,), (along,))[1] for f in (ours, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)

    def spread(x):
        mean, variance = jax.vmap(lambda x: moments(x[None], True, "d"), axis_name="d")(x)
        return (jnp.sin(mean[0]) * variance[0] ** 2).sum()

    np.testing.assert_allclose(spread(x), plain(x), rtol=1e-12)
    np.testing.assert_allclose(jax.grad(spread)(x), jax.grad(plain)(x), rtol=1e-10, atol=1e-13)


def test_pictures_in_bands() -> None:
    found = None
    for image in X[:3]:
        found = merge_moments(found, on_host(image[..., 0].size, deviations(image[None])))
    np.testing.assert_allclose(found.variance, EXACT[:3].var((0, 1, 2)), rtol=1e-3)


MASKS = np.zeros((2, 24, 20), np.float32)
MASKS[0, :, :8] = 0.5
MASKS[1, :10, 8:] = 1.0


@pytest.mark.parametrize("how", ["whole", "masks", "plan"])
@pytest.mark.parametrize("name", ["moments", "wasserstein", "covariance"])
def test_style_statistics(name: str, how: str) -> None:
    x, masks, plan = X[:1].copy(), None, None
    if how != "whole":
        x[:, :, :8] += 30.0  # regions whose means are far apart
        masks, plan = jnp.asarray(MASKS), make_plan(MASKS) if how == "plan" else None
    exact = x.astype(np.float64).reshape(-1, 4)
    found = describe(STATISTICS[name](), jnp.asarray(x), masks, plan)
    for k in range(1 if masks is None else 2):
        weights = np.ones(len(exact)) if masks is None else np.asarray(masks[k], np.float64).ravel()
        weights = weights / weights.sum()
        mean = weights @ exact
        covariance = (exact - mean).T @ (weights[:, None] * (exact - mean))
        np.testing.assert_allclose(found["mean"][0, k], mean, rtol=1e-6, atol=1e-6)
        if name == "moments":
            np.testing.assert_allclose(found["std"][0, k], np.sqrt(np.diag(covariance) + 1e-5), rtol=1e-3)
        else:
            np.testing.assert_allclose(found["covariance"][0, k], covariance, atol=1e-3 * covariance.max())


@dataclasses.dataclass(frozen=True)
class Offset:
    """A network, hashable: activations of a large mean and a small deviation, of the first layer's size."""

    def __call__(self, _, images, layers):
        varying = 0.02 * images[..., :1] @ jnp.ones((1, 4), images.dtype)
        return {name: OFFSETS.astype(images.dtype) + varying for name in layers}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["moments", "wasserstein", "covariance"])
def test_the_loss_by_tiles(name: str, masked: bool) -> None:
    """In single precision, held to the whole in double precision; means differ between tiles."""
    record = Objective(("relu1_1",), ("relu1_1",), 0.0, 1.0, 0.0, style_statistic=name)
    network = random_backbone(convs=3)
    assert steps_to(network.arch, "relu1_1") == ("conv",)
    x, painting = RNG.uniform(size=(1, 40, 56, 3)), RNG.uniform(size=(1, 40, 40, 3)) ** 2
    x[:, :20] *= 0.2
    mask = np.zeros((40, 56))
    mask[:30, 10:] = 0.5

    def run(dtype, tile):
        style = Offset()(None, jnp.asarray(painting, dtype), ("relu1_1",))
        region = RegionFeatures(
            (StyleFeatures(style),), {"relu1_1": jnp.asarray(mask, dtype)} if masked else None
        )
        targets = make_targets(record, {}, [region], {"relu1_1": (40, 56)})
        fun = (
            tiled_objective(record, Offset(), network, targets, (40, 56), tile)
            if tile
            else objective(record, Offset(), None, targets)
        )
        return jax.jit(jax.value_and_grad(lambda image: fun(image)[0]))(jnp.asarray(x, dtype))

    with jax.enable_x64(True):
        value, gradient = (np.asarray(part) for part in run(np.float64, 0))
        by_tiles, gradient_by_tiles = (np.asarray(part) for part in run(np.float64, 16))
    np.testing.assert_allclose(by_tiles, value, rtol=1e-10)
    np.testing.assert_allclose(gradient_by_tiles, gradient, atol=1e-10 * np.abs(gradient).max())
    if name == "moments":
        for tile in (0, 16):
            found, found_gradient = run(np.float32, tile)
            np.testing.assert_allclose(found, value, rtol=0.02)
            np.testing.assert_allclose(found_gradient, gradient, atol=0.02 * np.abs(gradient).max())
