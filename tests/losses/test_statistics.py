"""Style statistics against the discrepancies that they stand for, and the balance of the terms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

import nstjax
from nstjax.losses import (
    Objective,
    Targets,
    balance,
    make_targets,
    mmd2,
    objective,
    total_variation,
    wasserstein2,
)
from nstjax.losses.mmd import kernel_matrix
from nstjax.losses.record import SHALLOW_FACTOR, VGG16_FACTOR
from nstjax.losses.statistics import STATISTICS, Gaussian
from nstjax.losses.wasserstein import covariance_root
from tests.helpers.losses import identity, style_loss_of
from tests.helpers.networks import random_backbone

RNG = np.random.default_rng(8)
UNIT = 8.0
X, S = RNG.normal(0.5, 1, size=(1, 6, 7, 4)), RNG.normal(0.2, 1.3, size=(1, 5, 9, 4))


def points(x: np.ndarray) -> jnp.ndarray:
    return jnp.asarray(x.reshape(-1, x.shape[-1]))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("offset", [0.0, 0.8])
def test_polynomial_statistic_is_the_mmd_in_units_of_the_style_s_norm(
    x64: None, degree: int, offset: float
) -> None:
    """Degrees 1 and 2 by means and Gram matrices, 3 and more by points; eq. 2.5 by pairs."""
    how = {"style_statistic": "polynomial", "kernel_degree": degree, "kernel_offset": offset}
    how |= {"style_loss": "sum", "kernel_samples": 0}
    scale = np.sqrt(np.square(S).sum(-1).mean())
    expected = mmd2(points(X) / scale, points(S) / scale, "polynomial", degree=degree, offset=offset)
    assert style_loss_of(X, S, **how) == pytest.approx(float(expected), rel=1e-10)


def test_linear_and_gram_and_moments(x64: None) -> None:
    for name, kernel in (("linear", {"kernel": "linear"}), ("gram", {"kernel": "polynomial"})):
        found = style_loss_of(X, S, style_statistic=name, style_loss="sum")
        assert found == pytest.approx(float(mmd2(points(X), points(S), **kernel)), rel=1e-11)
    x, s = (a.reshape(-1, 4) for a in (X, S))
    stds = [np.sqrt(a.var(0) + 1e-5) for a in (x, s)]
    expected = ((x.mean(0) - s.mean(0)) ** 2).sum() + ((stds[0] - stds[1]) ** 2).sum()
    assert style_loss_of(X, S, style_statistic="moments", style_loss="sum") == pytest.approx(
        expected, rel=1e-11
    )
    relative = expected / ((s.mean(0) ** 2).sum() + (stds[1] ** 2).sum())
    assert style_loss_of(X, S, style_statistic="moments") == pytest.approx(relative, rel=1e-11)


@pytest.mark.parametrize("bandwidth", [None, 0.5])
def test_gaussian_statistic_with_all_points_is_the_mmd(x64: None, bandwidth: float | None) -> None:
    sigma = float(nstjax.losses.median_bandwidth(points(S))) * (bandwidth or 1.0)
    expected = float(mmd2(points(X), points(S), "gaussian", bandwidth=sigma))
    how = {"style_statistic": "gaussian", "kernel_samples": 0, "bandwidth": bandwidth}
    assert style_loss_of(X, S, **how, style_loss="sum") == pytest.approx(expected, rel=1e-10)
    own = float(kernel_matrix(points(S), points(S), "gaussian", bandwidth=sigma).mean())
    assert style_loss_of(X, S, **how) == pytest.approx(expected / own, rel=1e-8)


def test_points_by_blocks_see_every_position_and_near_the_exact_value(x64: None) -> None:
    x, s = RNG.normal(0.4, 1, size=(1, 30, 31, 3)), RNG.normal(0, 1.2, size=(1, 25, 40, 3))
    statistic = Gaussian(samples=128)
    order = statistic.plan((30, 31), None, "relu1_1")
    assert order.shape == (8, 128)
    assert set(np.asarray(order).ravel()) == set(range(930))
    target = statistic.target(jnp.asarray(s), None)

    def loss(a):
        return statistic.loss(a, None, order, target, "sum")

    own = target["points"] * target["scale"] + target["centre"]
    drawn = {tuple(np.round(p, 9)) for p in np.asarray(own)}
    assert len(drawn) == 128
    assert drawn <= {tuple(np.round(p, 9)) for p in s.reshape(-1, 3)}
    blocks = [mmd2(points(x)[block], own, "gaussian", bandwidth=target["scale"]) for block in order]
    assert float(loss(jnp.asarray(x))) == pytest.approx(float(np.mean(blocks)), rel=1e-10)
    exact = float(mmd2(points(x), points(s), "gaussian", bandwidth=target["scale"]))
    # Either sample of 128 adds about (1 − mean kernel)/128 to the exact value, besides its own chance.
    assert exact < float(loss(jnp.asarray(x))) < exact + 0.06
    assert (np.abs(np.asarray(jax.grad(loss)(jnp.asarray(x)))).sum(-1) > 0).all()


def test_points_of_a_mask_come_from_inside(x64: None) -> None:
    mask = np.zeros((1, 5, 9))
    mask[0, :, :4] = 1
    outside = np.where(mask[..., None] > 0, S, 1e6)
    for samples in (0, 8):
        one, other = (
            Gaussian(samples=samples).target(jnp.asarray(a), jnp.asarray(mask)) for a in (S, outside)
        )
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    order = Gaussian(samples=8).plan((5, 9), mask[0], "relu1_1")
    assert set(np.asarray(order).ravel()) == set(np.flatnonzero(mask))


def test_wasserstein_against_scipy_and_its_closed_forms(x64: None) -> None:
    def gaussian(shift):
        a = RNG.normal(size=(30, 4))
        return a.mean(0) + shift, np.cov(a.T, bias=True)

    (m, c), (n, d) = gaussian(0.0), gaussian(0.7)
    root = linalg.sqrtm(d)
    expected = ((m - n) ** 2).sum() + np.trace(c + d - 2 * np.real(linalg.sqrtm(root @ c @ root)))
    arrays = [jnp.asarray(a)[None] for a in (m, c, n, d)]
    target_root = covariance_root(arrays[3])
    np.testing.assert_allclose(target_root[0], root, atol=1e-10)
    found = float(wasserstein2(arrays[0], arrays[1], arrays[2], target_root)[0])
    assert found == pytest.approx(expected, rel=1e-4)  # the floor under the eigenvalues
    same = float(wasserstein2(arrays[2], arrays[3], arrays[2], target_root)[0])
    assert abs(same) < 1e-4
    diagonal = [jnp.asarray(np.diag(v))[None] for v in ([1.0, 4.0], [9.0, 16.0])]
    zero = jnp.zeros((1, 2))
    between = float(wasserstein2(zero, diagonal[0], zero, covariance_root(diagonal[1]))[0])
    assert between == pytest.approx((1 - 3) ** 2 + (2 - 4) ** 2, rel=1e-4)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_loss_for_the_painting_itself_and_finite_where_channels_are_dead(statistic: str) -> None:
    s = np.maximum(RNG.normal(size=(1, 12, 12, 8)), 0).astype(np.float32) * 1000
    s[..., :3] = 0
    how = {"style_statistic": statistic, "kernel_samples": 0}
    assert abs(style_loss_of(s, s, **how)) < 1e-3
    record = Objective((), ("relu1_1",), 0.0, 1.0, 0.0, **how)
    for target in (s, np.zeros_like(s)):
        targets = make_targets(record, {}, {"relu1_1": jnp.asarray(target)}, {"relu1_1": (12, 12)})
        fun = objective(record, identity, None, targets)
        for x in (s, np.zeros_like(s), s * 0.1):
            value, gradient = jax.value_and_grad(lambda a, fun=fun: fun(a)[0])(jnp.asarray(x))
            assert np.isfinite(float(value))
            assert np.isfinite(np.asarray(gradient)).all()


# The balance of the terms.


def _balanced(record: Objective, strength: float, backbone, content, style):
    features = nstjax.features
    targets = make_targets(
        record,
        features(backbone, content, record.content_layers),
        features(backbone, style, record.style_layers),
    )

    def loss(targets: Targets):
        return objective(record, features, backbone, targets)

    return loss(balance(record, loss, targets, content, strength, strength * UNIT))


@pytest.mark.slow
def test_strength_does_not_depend_on_how_losses_are_normalized(x64: None) -> None:
    backbone = random_backbone(convs=3, dtype=np.float64)
    content, style, x = (jnp.asarray(RNG.uniform(size=(1, 16, 18, 3))) for _ in range(3))
    base = Objective(("relu2_1",), ("relu1_1", "relu2_1"))
    changed = dataclasses.replace(base, content_weight=1e-3, style_weight=77.0, content_loss="half_sum")
    first, second = (_balanced(r, 2.0, backbone, content, style) for r in (base, changed))
    assert float(first(x)[0]) == pytest.approx(float(second(x)[0]), rel=1e-9)
    # With one style layer the normalisations of Gram losses differ by a factor alone.
    single = dataclasses.replace(base, style_layers=("relu2_1",))
    values = [
        float(_balanced(dataclasses.replace(single, style_loss=name), 2.0, backbone, content, style)(x)[0])
        for name in ("relative", "gatys", "johnson", "sum", "raw_sum")
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-9)


def test_strength_weighs_shares_of_what_a_plain_picture_lacks(x64: None) -> None:
    backbone = random_backbone(convs=3, dtype=np.float64)
    content, style = (jnp.asarray(RNG.uniform(size=(1, 16, 18, 3))) for _ in range(2))
    record = Objective(("relu2_1",), ("relu1_1", "relu2_1"), tv_weight=2.0)
    grey = jnp.broadcast_to(content.mean((1, 2), keepdims=True), content.shape)
    variation = float(total_variation(content, "absolute", "mean"))
    for strength in (0.5, 3.0):
        for tv in ({}, {"tv_distance": "squared", "tv_reduction": "sum"}):
            changed = dataclasses.replace(record, **tv)
            fun = _balanced(changed, strength, backbone, content, style)
            terms = fun(grey)[1]
            style_total = sum(v for name, v in terms.items() if name.startswith("style"))
            assert float(style_total) == pytest.approx(strength * UNIT, rel=1e-12)
            assert float(terms["content/relu2_1"]) == pytest.approx(1.0, rel=1e-12)
            assert float(fun(content)[1]["tv"]) == pytest.approx(
                2.0 * min(strength, 1) * variation, rel=1e-12
            )


def test_the_default_weight_is_that_of_the_network() -> None:
    def weight(arch: str, convs: int, **changes) -> float:
        return Objective(**changes).for_layers(random_backbone(arch, convs).layers).style_weight

    assert weight("vgg19", 16) == STATISTICS["gram"].default_weights["squared"]
    assert weight("vgg16", 13) == STATISTICS["gram"].default_weights["squared"] * VGG16_FACTOR
    assert weight("vgg19", 8) == STATISTICS["gram"].default_weights["squared"] * SHALLOW_FACTOR
    assert weight("vgg19", 16, style_statistic="linear") == STATISTICS["linear"].default_weights["squared"]
    assert weight("vgg19", 16, style_weight=0.5) == 0.5
    for arch, convs in (("vgg19", 16), ("vgg16", 13), ("vgg19", 8)):
        layers = random_backbone(arch, convs).layers
        weights = [Objective().default_style_weight(layers, strength) for strength in (0.1, 1.0, 10.0)]
        assert weights[1] == weight(arch, convs)
        assert weights[0] * 10 <= weights[1] <= weights[2] / 10


@pytest.mark.slow
def test_balance_of_a_blank_photograph_and_of_a_painting_of_itself_is_finite(small) -> None:
    record = Objective(("relu2_1",), ("relu1_1", "relu2_1"))
    blank, busy = jnp.full((1, 16, 16, 3), 0.5), jnp.asarray(RNG.uniform(size=(1, 16, 16, 3)), jnp.float32)
    for content, style in ((blank, busy), (busy, busy), (busy, blank)):
        fun = _balanced(record, 1.0, small, content, style)
        value, gradient = jax.value_and_grad(lambda a, fun=fun: fun(a)[0])(busy * 0.9)
        assert np.isfinite(float(value))
        assert np.isfinite(np.asarray(gradient)).all()
