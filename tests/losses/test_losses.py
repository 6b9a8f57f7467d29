"""The losses: closed forms, an independent implementation, gradients, invariances, edges."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.losses import (
    Objective,
    content_loss,
    gram_matrix,
    make_targets,
    objective,
    style_loss,
    total_variation,
)
from nstjax.losses.content import CONTENT_LOSSES
from nstjax.losses.distance import DISTANCES
from nstjax.losses.gram import GRAM_NORMALIZATIONS, STYLE_LOSSES
from nstjax.losses.tv import TV_REDUCTIONS
from tests.helpers.losses import assert_gradient, central_difference, loops_gram
from tests.helpers.networks import random_backbone

RNG = np.random.default_rng(0)
F = RNG.normal(size=(1, 4, 5, 6))
P = RNG.normal(size=(1, 4, 5, 6))
S = RNG.normal(size=(1, 3, 7, 6))


def test_gram_against_loops(x64: None) -> None:
    expected = loops_gram(F)
    np.testing.assert_allclose(gram_matrix(jnp.asarray(F))[0], expected, rtol=1e-12)
    np.testing.assert_allclose(gram_matrix(jnp.asarray(F), "size")[0], expected / (6 * 4 * 5), rtol=1e-12)
    np.testing.assert_allclose(gram_matrix(jnp.asarray(F), "positions")[0], expected / (4 * 5), rtol=1e-12)


def test_gram_is_symmetric_positive_and_blind_to_positions(x64: None) -> None:
    g = np.asarray(gram_matrix(jnp.asarray(F), "positions"))
    np.testing.assert_allclose(g, g.transpose(0, 2, 1), rtol=1e-13)
    assert np.linalg.eigvalsh(g[0]).min() > -1e-12
    shuffled = F.reshape(1, 20, 6)[:, np.random.default_rng(3).permutation(20)].reshape(F.shape)
    np.testing.assert_allclose(gram_matrix(jnp.asarray(shuffled), "positions"), g, rtol=1e-12)


def test_gram_positions_is_blind_to_repetition(x64: None) -> None:
    twice = np.concatenate([F, F], axis=1)
    np.testing.assert_allclose(
        gram_matrix(jnp.asarray(twice), "positions"), gram_matrix(jnp.asarray(F), "positions"), rtol=1e-12
    )


@pytest.mark.parametrize("kind", DISTANCES)
def test_content_losses_against_numpy(kind: str, x64: None) -> None:
    d = np.square if kind == "squared" else np.abs
    expected = {
        "half_sum": 0.5 * d(F - P).sum(),
        "sum": d(F - P).sum(),
        "mean": d(F - P).mean(),
        "relative": d(F - P).sum() / d(P).sum(),
    }
    assert set(expected) == set(CONTENT_LOSSES)
    for name, value in expected.items():
        np.testing.assert_allclose(
            content_loss(jnp.asarray(F), jnp.asarray(P), name, kind), value, rtol=1e-12
        )


def test_gatys_loss_is_equation_4_where_sizes_are_equal(x64: None) -> None:
    n, m = 6, 4 * 5
    expected = ((loops_gram(F) - loops_gram(P)) ** 2).sum() / (4 * n**2 * m**2)
    grams = [gram_matrix(jnp.asarray(a), "positions") for a in (F, P)]
    np.testing.assert_allclose(style_loss(*grams, "gatys"), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", DISTANCES)
def test_style_losses_against_numpy(kind: str, x64: None) -> None:
    d = np.square if kind == "squared" else np.abs
    g, a = loops_gram(F) / 20, loops_gram(S) / 21
    expected = {
        "gatys": d(g - a).sum() / (4 * 36),
        "johnson": d(loops_gram(F) / (6 * 20) - loops_gram(S) / (6 * 21)).mean(),
        "relative": d(g - a).sum() / d(a).sum(),
        "sum": d(g - a).sum(),
        "raw_sum": d(loops_gram(F) - loops_gram(S)).sum(),
    }
    assert set(expected) == set(STYLE_LOSSES)
    grams = [gram_matrix(jnp.asarray(x), "positions") for x in (F, S)]
    for name, value in expected.items():
        np.testing.assert_allclose(style_loss(*grams, name, kind, (20, 21)), value, rtol=1e-12)
    with pytest.raises(nstjax.InputError, match="raw_sum needs positions"):
        style_loss(*grams, "raw_sum")


def test_total_variation_by_hand(x64: None) -> None:
    image = jnp.asarray([[[0.0, 0, 0], [1, 0, 0]], [[0.5, 0, 0], [1, 0, 2]]])[None]
    # down: |.5| + |0| + |2|, right: |1| + |.5| + |2|
    assert float(total_variation(image)) == pytest.approx(6.0, rel=1e-12)
    assert float(total_variation(image, "squared")) == pytest.approx(0.25 + 4 + 1 + 0.25 + 4, rel=1e-12)
    assert float(total_variation(image, reduction="mean")) == pytest.approx(6.0 / 12, rel=1e-12)
    assert float(total_variation(jnp.full((1, 5, 4, 3), 0.7))) == 0
    assert float(total_variation(jnp.ones((1, 1, 1, 3)))) == 0


def test_total_variation_is_blind_to_a_constant_and_scales(x64: None) -> None:
    image = jnp.asarray(RNG.uniform(size=(1, 6, 5, 3)))
    for kind, power in (("absolute", 1), ("squared", 2)):
        base = total_variation(image, kind)
        np.testing.assert_allclose(total_variation(image + 0.3, kind), base, rtol=1e-12)
        np.testing.assert_allclose(total_variation(3 * image, kind), 3**power * base, rtol=1e-12)


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("name", CONTENT_LOSSES)
def test_content_gradients(name: str, kind: str, x64: None) -> None:
    assert_gradient(lambda f: content_loss(f, jnp.asarray(P), name, kind), F)


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("name", STYLE_LOSSES)
def test_style_gradients(name: str, kind: str, x64: None) -> None:
    target = gram_matrix(jnp.asarray(S), "positions")
    assert_gradient(lambda f: style_loss(gram_matrix(f, "positions"), target, name, kind, (20, 21)), F)


@pytest.mark.parametrize("name", GRAM_NORMALIZATIONS)
def test_gram_gradients(name: str, x64: None) -> None:
    weights = jnp.asarray(RNG.normal(size=(1, 6, 6)))
    assert_gradient(lambda f: (weights * gram_matrix(f, name)).sum(), F)


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("reduction", TV_REDUCTIONS)
def test_total_variation_gradients(kind: str, reduction: str, x64: None) -> None:
    assert_gradient(lambda x: total_variation(x, kind, reduction), RNG.uniform(size=(1, 5, 6, 3)))


@pytest.mark.parametrize("kind", DISTANCES)
def test_gradients_at_the_target(kind: str) -> None:
    """Zero where the difference is exactly zero, and finite everywhere: no 0/0 of a square root."""
    f = jnp.asarray(F, jnp.float32)
    for name in CONTENT_LOSSES:
        np.testing.assert_array_equal(jax.grad(lambda x, name=name: content_loss(x, f, name, kind))(f), 0)
    gram = gram_matrix(f, "positions")
    for name in STYLE_LOSSES:
        np.testing.assert_array_equal(
            jax.grad(lambda g, name=name: style_loss(g, gram, name, kind, (20, 20)))(gram), 0
        )
        through = jax.grad(
            lambda x, name=name: style_loss(gram_matrix(x, "positions"), gram, name, kind, (20, 20))
        )(f)
        assert jnp.isfinite(through).all()
    np.testing.assert_array_equal(jax.grad(partial(total_variation, kind=kind))(jnp.ones((1, 4, 4, 3))), 0)


@pytest.mark.parametrize("kind", DISTANCES)
def test_relative_losses_survive_a_target_of_zeros(kind: str) -> None:
    zero, f = jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 3))
    gram = gram_matrix(zero, "positions")
    for fun in (
        lambda x: content_loss(x, zero, "relative", kind),
        lambda x: style_loss(gram_matrix(x, "positions"), gram, "relative", kind),
    ):
        value, grad = jax.value_and_grad(fun)(f)
        assert float(value) == 0
        assert jnp.isfinite(grad).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: gram_matrix(jnp.ones((1, 2, 2, 3)), "half"),
        lambda: content_loss(jnp.ones(3), jnp.ones(3), "big"),
        lambda: content_loss(jnp.ones(3), jnp.ones(3), "sum", "cubed"),
        lambda: style_loss(jnp.ones((1, 2, 2)), jnp.ones((1, 2, 2)), "big"),
        lambda: total_variation(jnp.ones((1, 2, 2, 3)), reduction="median"),
    ],
)
def test_unknown_names_are_refused(call) -> None:
    with pytest.raises(nstjax.InputError, match="must be one of"):
        call()


def features_of(backbone, **options):
    return partial(nstjax.features, **options)


RECORDS = {
    "default": Objective(("relu1_2",), ("relu1_1", "relu2_1")),
    "gatys": Objective(
        ("relu2_1",), ("conv1_1", "relu2_1"), 1.0, 2.0, 0.0, content_loss="half_sum", style_loss="gatys"
    ),
    "absolute": Objective(
        ("relu1_2",), ("relu1_1",), content_distance="absolute", style_distance="absolute", tv_reduction="sum"
    ),
    "johnson": Objective(
        ("pool1",), ("relu1_2",), content_loss="mean", style_loss="johnson", tv_distance="squared"
    ),
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_objective_through_the_network_has_the_right_gradient(record: Objective, x64: None) -> None:
    backbone = random_backbone(convs=3, dtype=np.float64)
    content, style, x = (RNG.uniform(size=(1, h, w, 3)) for h, w in ((6, 8), (7, 5), (6, 8)))
    apply = features_of(backbone, pooling="average")
    targets = make_targets(
        record, apply(backbone, content, record.layers), apply(backbone, style, record.layers)
    )
    fun = objective(record, apply, backbone, targets)
    # A tiny step: the network is piecewise smooth, and a kink between the two points would show.
    direction = RNG.normal(size=x.shape)
    grad = jax.grad(lambda image: fun(image)[0])(jnp.asarray(x))
    expected = central_difference(lambda image: fun(image)[0], x, direction, 1e-7)
    np.testing.assert_allclose((np.asarray(grad) * direction).sum(), expected, rtol=1e-6)


def test_objective_is_the_sum_of_its_weighted_terms(small: nstjax.Backbone) -> None:
    record = Objective(
        ("relu1_2", "relu2_1"),
        ("relu1_1", "relu2_1"),
        content_weight=2.0,
        style_weight=3.0,
        tv_weight=0.25,
        content_layer_weights=(0.5, 4.0),
        style_layer_weights=(1.0, 0.2),
    )
    content, style, x = (jnp.asarray(RNG.uniform(size=(1, 8, 8, 3)), jnp.float32) for _ in range(3))
    fc, fs, fx = (nstjax.features(small, image, record.layers) for image in (content, style, x))
    total, terms = objective(record, nstjax.features, small, make_targets(record, fc, fs))(x)
    grams = {k: [gram_matrix(f[k], "positions") for f in (fx, fs)] for k in record.style_layers}
    expected = {
        "content/relu1_2": 2.0 * 0.5 * content_loss(fx["relu1_2"], fc["relu1_2"], "relative"),
        "content/relu2_1": 2.0 * 4.0 * content_loss(fx["relu2_1"], fc["relu2_1"], "relative"),
        "style/relu1_1": 3.0 * 1.0 * style_loss(*grams["relu1_1"], "relative"),
        "style/relu2_1": 3.0 * 0.2 * style_loss(*grams["relu2_1"], "relative"),
        "tv": 0.25 * total_variation(x, "absolute", "mean"),
    }
    assert list(terms) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5)
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)


def test_style_layers_share_the_weight(small: nstjax.Backbone) -> None:
    x, s = (jnp.asarray(RNG.uniform(size=(1, 8, 8, 3)), jnp.float32) for _ in range(2))
    one = Objective((), ("relu1_1", "relu2_1"), content_weight=0, tv_weight=0)
    named = dataclasses.replace(one, style_layer_weights=(0.5, 0.5))
    values = []
    for record in (one, named):
        targets = make_targets(record, {}, nstjax.features(small, s, record.style_layers))
        values.append(float(objective(record, nstjax.features, small, targets)(x)[0]))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_a_weight_of_zero_drops_its_layers(small: nstjax.Backbone) -> None:
    record = Objective(("relu2_1",), ("relu1_1",), content_weight=0, tv_weight=0)
    assert record.layers == ("relu1_1",)
    x = jnp.asarray(RNG.uniform(size=(1, 8, 8, 3)), jnp.float32)
    targets = make_targets(record, {}, nstjax.features(small, x, record.layers))
    assert list(objective(record, nstjax.features, small, targets)(x)[1]) == ["style/relu1_1"]


def test_equal_objectives_share_one_compiled_program(small: nstjax.Backbone) -> None:
    record, x = Objective(("relu1_2",), ("relu1_1",)), jnp.ones((1, 8, 8, 3))
    traces = []

    @jax.jit
    def evaluate(fun, image):
        traces.append(1)
        return fun(image)[0]

    for scale in (0.2, 0.7):
        found = nstjax.features(small, scale * x, record.layers)
        evaluate(objective(record, nstjax.features, small, make_targets(record, found, found)), x)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"style_weight": -1}, "`style_weight` is -1"),
        ({"content_weight": float("nan")}, "`content_weight`"),
        ({"content_weight": 0, "style_weight": 0}, "both 0"),
        ({"style_layers": ("relu1_1",), "style_layer_weights": (1, 2)}, "2 values for 1 layers"),
        (
            {"style_layers": ("relu1_1",), "style_layer_weights": [1]},
            "`style_layer_weights` is .*: it must be a",
        ),
        ({"style_layers": ("relu1_1", "relu1_1")}, "twice"),
        ({"style_layers": ("relu1_1",), "style_layer_weights": (-1,)}, "`style_layer_weights`"),
    ],
)
def test_records_that_make_no_sense_are_refused(values: dict, message: str) -> None:
    with pytest.raises(nstjax.InputError, match=message):
        Objective(**values)
