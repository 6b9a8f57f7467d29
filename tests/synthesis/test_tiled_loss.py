"""The loss by tiles against the loss in one piece."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.losses import Objective, RegionFeatures, StyleFeatures, make_targets, objective
from nstjax.nn.prepare import prepared
from nstjax.optim import Lbfgs
from nstjax.synthesis.loss import FeatureExtractor, layer_sizes
from nstjax.synthesis.tiled_loss import make_grid, tiled_features, tiled_objective
from tests.helpers.networks import random_backbone

LAYERS = ("relu1_1", "relu2_1")
RECORD = Objective(("relu2_1",), LAYERS, tv_weight=0.1)
ONE_LAYER = dataclasses.replace(RECORD, style_layers=("relu2_1",))
APPLY = FeatureExtractor("average", 1.0, "replicate")


@pytest.fixture
def network(x64: None) -> nstjax.Backbone:
    """In double precision: no ReLU is switched by rounding, which would change the gradient by more than rounding."""
    return random_backbone(convs=3, dtype=np.float64)


def picture(height: int, width: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(size=(1, height, width, 3)))


def both(
    record: Objective,
    apply: FeatureExtractor,
    network: nstjax.Backbone,
    size: tuple[int, int],
    tile: int,
    regions=None,
):
    """Loss and gradient in one piece and by tiles."""
    x, photo, painting = picture(*size), picture(*size, 1), picture(50, 41, 2)
    shapes = layer_sizes(apply, network, x.shape[1:3], record.style_layers)
    style = apply(network, painting, record.style_layers)
    targets = make_targets(
        record,
        apply(network, photo, record.content_layers),
        style if regions is None else regions(style, shapes),
        shapes,
    )
    whole = objective(record, apply, network, targets)
    tiles = tiled_objective(record, apply, network, targets, size, tile)
    return [jax.jit(jax.value_and_grad(fun, has_aux=True))(x) for fun in (whole, tiles)]


def assert_same(found, expected, tolerance: float = 1e-10) -> None:
    (value, terms), gradient = found
    (expected_value, expected_terms), expected_gradient = expected
    np.testing.assert_allclose(value, expected_value, rtol=tolerance)
    assert list(terms) == list(expected_terms)
    for name in terms:
        np.testing.assert_allclose(terms[name], expected_terms[name], rtol=tolerance)
    np.testing.assert_allclose(
        gradient, expected_gradient, atol=tolerance * np.abs(expected_gradient).max(), rtol=0
    )


@pytest.mark.parametrize(
    ("size", "tile"),
    [((97, 131), 32), ((64, 60), 64), ((150, 33), 37)],
)
def test_tiles_are_the_whole(network: nstjax.Backbone, size: tuple[int, int], tile: int) -> None:
    expected, found = both(RECORD, APPLY, network, size, tile)
    assert_same(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistic", "masked"),
    [("linear", True), ("moments", False), ("polynomial", False), ("wasserstein", True)],
)
def test_every_statistic_that_is_a_sum(network: nstjax.Backbone, statistic: str, masked: bool) -> None:
    record = dataclasses.replace(
        ONE_LAYER, style_statistic=statistic, content_loss="mean", content_distance="absolute"
    )
    expected, found = both(record, APPLY, network, (90, 75), 32, quarters if masked else None)
    assert_same(found, expected)


def quarters(style, shapes) -> tuple[RegionFeatures, ...]:
    """A soft stripe, all of the picture, and a corner."""
    soft = {name: jnp.broadcast_to(jnp.linspace(0, 1, w), (h, w)) for name, (h, w) in shapes.items()}
    corner = {name: jnp.zeros((h, w)).at[: h // 3, w // 2 :].set(1) for name, (h, w) in shapes.items()}
    shifted = {name: 1.3 * value for name, value in style.items()}
    return (
        RegionFeatures((StyleFeatures(style),), soft),
        RegionFeatures((StyleFeatures(style, None, 2.0), StyleFeatures(shifted))),
        RegionFeatures((StyleFeatures(shifted),), corner, 0.5),
    )


@pytest.mark.parametrize("masked", [False, True])
def test_undivided_gram_matrices_by_tiles(network: nstjax.Backbone, masked: bool) -> None:
    record = dataclasses.replace(ONE_LAYER, style_loss="raw_sum")
    expected, found = both(record, APPLY, network, (90, 75), 32, quarters if masked else None)
    assert_same(found, expected)


@pytest.mark.parametrize("guidance", ["gram", "sums"])
def test_regions_and_blends(network: nstjax.Backbone, guidance: str) -> None:
    record = dataclasses.replace(ONE_LAYER, guidance=guidance)
    expected, found = both(record, APPLY, network, (90, 75), 32, quarters)
    assert_same(found, expected)


def test_weights_made_ready_and_max_pooling() -> None:
    network = random_backbone(convs=3)
    record = Objective(("relu1_2",), ("relu2_1",))
    apply = FeatureExtractor("max", 1.0, "zeros")
    (value, expected), (by_tiles, found) = both(
        record, apply, prepared(network, record.layers), (150, 90), 64
    )
    np.testing.assert_allclose(by_tiles[0], value[0], rtol=1e-5)
    # Of the whole gradient, since single ReLUs may be switched by rounding.
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_features_by_tiles_are_the_features(small: nstjax.Backbone) -> None:
    x = picture(99, 130)
    expected = APPLY(small, x, LAYERS)
    found = tiled_features(APPLY, small, x, LAYERS, 32)
    assert list(found) == list(expected)
    for name in LAYERS:
        assert found[name].shape == expected[name].shape
        np.testing.assert_allclose(found[name], expected[name], atol=2e-5 * expected[name].max())
    assert tiled_features(APPLY, small, x, (), 32) == {}


def test_every_position_is_one_tile_s_and_sees_all_it_needs() -> None:
    for size, tile, layer in itertools.product(
        (64, 65, 97, 200, 511), (32, 50, 64), ("relu1_1", "relu3_1", "pool3")
    ):
        grid = make_grid((size, size), tile, "vgg19", (layer,))
        axis, stride = grid.rows, grid.strides[0][1]
        assert all(start % stride == 0 and 0 <= start <= size - axis.window for start in axis.starts)
        assert axis.starts[-1] + axis.window == size
        for i, start in enumerate(axis.starts):
            end = size if i == len(axis.starts) - 1 else (i + 1) * axis.tile
            reach = {"relu1_1": 1, "relu3_1": 10, "pool3": 22}[layer]
            assert start <= max(i * axis.tile - reach, 0)
            assert start + axis.window >= min(end + reach, size)


@pytest.mark.parametrize("layer", ["relu1_2", "relu2_1", "pool2", "relu3_1"])
def test_no_activation_sees_beyond_its_halo(layer: str) -> None:
    """The reach by arithmetic against that by derivatives, with linear weights that hide nothing."""
    from nstjax.nn.vgg import steps_to
    from nstjax.synthesis.tiled_loss import _reach

    network = random_backbone(convs=5)
    ones = jax.tree.map(lambda w: jnp.abs(w), network.params)
    network = dataclasses.replace(network, params=ones)
    reach, stride = _reach(steps_to("vgg19", layer))
    at = 12
    x = jnp.ones((1, 24 * stride, 8, 3))

    def one(x: jax.Array) -> jax.Array:
        return nstjax.features(network, x, (layer,), pooling="average")[layer][0, at].sum()

    rows = np.flatnonzero(np.abs(jax.grad(one)(x)).sum((0, 2, 3)))
    assert rows.min() == at * stride - reach
    assert rows.max() == (at + 1) * stride - 1 + reach


@pytest.mark.slow
def test_a_transfer_by_tiles_is_the_transfer(small: nstjax.Backbone) -> None:
    """Pyramid, masks and a balanced weight; the first scale fits in one tile."""
    photo, painting = np.asarray(picture(60, 80)), np.asarray(picture(40, 90, 1))
    mask = np.zeros((60, 80), np.float32)
    mask[:, 30:] = 1
    regions = [
        nstjax.StyleRegion((nstjax.Style(painting),), mask),
        nstjax.StyleRegion((nstjax.Style(painting[:, ::-1]),), 1 - mask),
    ]
    whole, tiles = (
        nstjax.transfer(
            photo,
            regions,
            small,
            nstjax.TransferConfig(
                objective=Objective(("relu1_1",), ("relu1_2",)),
                optimizer=Lbfgs(iterations=3),
                scales=(40, 80),
                style_strength=1.0,
                tile=tile,
            ),
        )
        for tile in (0, 48)
    )
    assert [entry.evaluations for entry in tiles.history] == [entry.evaluations for entry in whole.history]
    np.testing.assert_allclose(tiles.image, whole.image, atol=2e-3)
    losses = [[entry.loss for entry in result.history] for result in (whole, tiles)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_what_cannot_be_tiled_is_refused(small: nstjax.Backbone) -> None:
    targets = make_targets(
        RECORD, APPLY(small, picture(64, 64), LAYERS), APPLY(small, picture(64, 64), LAYERS)
    )
    with pytest.raises(nstjax.InputError, match="`tile` is 8"):
        nstjax.TransferConfig(tile=8)
    points = dataclasses.replace(RECORD, style_statistic="gaussian")
    with pytest.raises(nstjax.InputError, match="cannot be computed in tiles"):
        tiled_objective(points, APPLY, small, targets, (64, 64), 32)
