"""Forward-mode and second derivatives of everything that has a transpose of its own, in double precision."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import nstjax
from nstjax.linear import bilinear, linear
from nstjax.losses import Objective, RegionFeatures, StyleFeatures, gram_matrix, make_targets, objective
from nstjax.losses.spatial import make_plan, planned_gram
from nstjax.nn.conv import conv3x3, freeze, pool2x2
from nstjax.nn.fast_conv import fast_convolve
from nstjax.nn.prepare import prepared
from nstjax.nn.up_conv import upsample_convolve
from tests.helpers.networks import random_backbone

MASKS = np.random.default_rng(4).uniform(size=(3, 6, 8)) * (
    np.random.default_rng(5).uniform(size=(3, 6, 8)) > 0.3
)


def normal(seed: int, *shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


WIDE = np.random.default_rng(1).normal(size=(3, 3, 32, 32)) / 17
CASES: dict[str, tuple[Callable[..., Array], tuple[Array, ...]]] = {}


def case(name: str, fun: Callable[..., Array], *shapes: tuple[int, ...]) -> None:
    CASES[name] = fun, shapes


case("Winograd", lambda x, k: conv3x3(x, k / 17, jnp.zeros(32)), (1, 48, 44, 32), (3, 3, 32, 32))
case("few positions", lambda x, k: conv3x3(x, k, jnp.zeros(3)), (2, 6, 7, 2), (3, 3, 2, 3))
case("side by side", lambda x, k: conv3x3(x, k, jnp.zeros(3)), (1, 6, 7, 8), (3, 3, 8, 3))
case(
    "a constant kernel",
    lambda x: conv3x3(x, WIDE.astype(x.dtype), jnp.zeros(32), frozen=freeze(WIDE.astype(x.dtype))),
    (1, 16, 17, 32),
)
case("unpadded", fast_convolve, (2, 7, 6, 5), (3, 3, 5, 4))
case("stride 2", lambda x, k: fast_convolve(x, k, 2), (2, 7, 6, 3), (3, 3, 3, 4))
case("one row at a time", fast_convolve, (1, 10, 13, 4), (9, 9, 4, 3))
case("nearest", lambda x, k: upsample_convolve(x, k, "nearest", "reflect"), (1, 5, 4, 3), (3, 3, 3, 2))
case("bilinear", lambda x, k: upsample_convolve(x, k, "bilinear", "reflect"), (1, 5, 4, 3), (3, 3, 3, 2))
case("maximum", pool2x2, (2, 7, 6, 3))
case("Gram", gram_matrix, (2, 6, 5, 4))
case("planned Gram", lambda f: planned_gram(f, make_plan(MASKS)), (2, 6, 8, 5))


@pytest.mark.parametrize("name", CASES)
def test_forward_mode_is_the_central_difference_and_the_transpose_of_reverse_mode(
    x64: None, name: str
) -> None:
    fun, shapes = jax.jit(CASES[name][0]), CASES[name][1]
    at = tuple(normal(i, *shape) for i, shape in enumerate(shapes))
    along = tuple(normal(10 + i, *shape) for i, shape in enumerate(shapes))
    value, tangent = jax.jit(lambda at, along: jax.jvp(fun, at, along))(at, along)
    step = 1e-5
    after, before = (fun(*(x + s * step * t for x, t in zip(at, along, strict=True))) for s in (1, -1))
    np.testing.assert_allclose(value, fun(*at), rtol=1e-12, atol=1e-12)
    scale = float(jnp.abs(tangent).max())
    np.testing.assert_allclose(tangent, (after - before) / (2 * step), atol=1e-7 * scale)
    cotangent = normal(20, *value.shape)
    back = jax.jit(lambda at, cotangent: jax.vjp(fun, *at)[1](cotangent))(at, cotangent)
    forwards = float(jnp.vdot(cotangent, tangent))
    backwards = sum(float(jnp.vdot(b, t)) for b, t in zip(back, along, strict=True))
    assert forwards == pytest.approx(backwards, rel=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_hessian_vector_products_in_both_orders(x64: None, name: str) -> None:
    """Of the sum of cubes: forward over reverse is the difference of gradients, and is reverse over reverse."""
    fun, shapes = CASES[name]
    at = tuple(normal(i, *shape) for i, shape in enumerate(shapes))
    along = tuple(normal(10 + i, *shape) for i, shape in enumerate(shapes))
    slope = jax.jit(jax.grad(lambda at: (fun(*at) ** 3).sum()))
    found = jax.jit(lambda at, along: jax.jvp(slope, (at,), (along,))[1])(at, along)
    step = 1e-5
    after, before = (slope(tuple(x + s * step * t for x, t in zip(at, along, strict=True))) for s in (1, -1))
    reverse = jax.grad(lambda at: sum(jnp.vdot(g, t) for g, t in zip(slope(at), along, strict=True)))(at)
    for one, plus, minus, other in zip(found, after, before, reverse, strict=True):
        scale = float(jnp.abs(one).max())
        np.testing.assert_allclose(one, (plus - minus) / (2 * step), atol=2e-7 * scale)
        np.testing.assert_allclose(one, other, atol=1e-11 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["few positions", "stride 2", "bilinear", "maximum", "Gram", "planned Gram"])
def test_jacobians_by_either_mode_agree(x64: None, name: str) -> None:
    """``jax.jacfwd`` and ``jax.jacrev`` map over tangents and cotangents with ``jax.vmap``."""
    fun, shapes = CASES[name]
    at = tuple(normal(i, *shape) for i, shape in enumerate(shapes))
    every = tuple(range(len(at)))
    forward, reverse = (jac(fun, every)(*at) for jac in (jax.jacfwd, jax.jacrev))
    for one, other in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_a_batch_shares_what_is_not_mapped(x64: None) -> None:
    x, kernel = normal(0, 4, 1, 6, 5, 2), normal(1, 3, 3, 2, 3)

    def total(kernel: Array) -> Array:
        return (jax.vmap(lambda x: fast_convolve(x, kernel))(x) ** 2).sum()

    def one_by_one(kernel: Array) -> Array:
        return sum((fast_convolve(image, kernel) ** 2).sum() for image in x)

    np.testing.assert_allclose(jax.grad(total)(kernel), jax.grad(one_by_one)(kernel), rtol=1e-12)
    np.testing.assert_allclose(
        jax.hessian(total)(kernel), jax.hessian(one_by_one)(kernel), rtol=1e-10, atol=1e-9
    )


def test_constants_have_no_derivative() -> None:
    x = jnp.arange(3.0)

    def scaled(c: Array, x: Array) -> Array:
        return linear(lambda c, x: (c * x,), lambda c, dy: (c * dy,), (c,), (x,))[0].sum()

    c = jnp.asarray(2.0)
    assert float(jax.grad(scaled)(c, x)) == 0
    assert float(jax.jvp(lambda c: scaled(c, x), (c,), (c,))[1]) == 0
    np.testing.assert_array_equal(jax.grad(scaled, 1)(c, x), 2)


def test_given_transposes_are_taken() -> None:
    """Told apart from derived ones by being wrong."""
    x = jnp.arange(3.0)
    cotangent = jnp.ones(3)

    def doubled(x: Array) -> Array:
        return linear(lambda c, x: (c * x,), lambda c, dy: (100 * dy,), (jnp.asarray(2.0),), (x,))[0]

    assert float(jax.vjp(doubled, x)[1](cotangent)[0][0]) == 100
    assert float(jax.jvp(doubled, (x,), (cotangent,))[1][0]) == 2
    product = (lambda a, b: a * b, lambda b, out: 10 * b * out, lambda a, out: 20 * a * out)
    of_a, of_b = jax.vjp(lambda a, b: bilinear(*product, a, b), x, x + 1)[1](cotangent)
    np.testing.assert_array_equal(of_a, 10 * (x + 1))
    np.testing.assert_array_equal(of_b, 20 * x)


def tanh_network(_: None, image: Array, layers: tuple[str, ...]) -> dict[str, Array]:
    """Smooth, so that second differences converge; of the package's own convolutions and pooling."""
    wide = jnp.tanh(conv3x3(image, normal(1, 3, 3, 3, 6), jnp.zeros(6)))
    deep = jnp.tanh(conv3x3(pool2x2(wide), normal(2, 3, 3, 6, 8) / 4, jnp.zeros(8)))
    return {"relu1_1": wide, "relu2_1": deep}


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [{}, {"style_statistic": "moments"}, {"style_statistic": "wasserstein"}, {"guidance": "sums"}],
    ids=str,
)
@pytest.mark.parametrize("regions", [1, 2])
def test_the_objective_has_second_derivatives(x64: None, how: dict, regions: int) -> None:
    record = Objective(("relu2_1",), ("relu1_1", "relu2_1"), tv_distance="squared", **how)
    photograph, painting, x, along = (normal(seed, 1, 8, 10, 3) for seed in (3, 4, 5, 6))
    style = tanh_network(None, painting, record.layers)
    left = {"relu1_1": np.zeros((8, 10)), "relu2_1": np.zeros((4, 5))}
    for mask in left.values():
        mask[:, : mask.shape[1] // 2] = 1
    parts = [RegionFeatures((StyleFeatures(style),), left)]
    parts.append(RegionFeatures((StyleFeatures(style),), {name: 1 - mask for name, mask in left.items()}))
    shapes = {name: value.shape[1:3] for name, value in style.items()}
    content = tanh_network(None, photograph, record.layers)
    fun = objective(
        record, tanh_network, None, make_targets(record, content, parts if regions == 2 else style, shapes)
    )
    slope = jax.jit(jax.grad(lambda image: fun(image)[0]))
    value, tangent = jax.jvp(lambda image: fun(image)[0], (x,), (along,))
    assert float(tangent) == pytest.approx(float(jnp.vdot(slope(x), along)), rel=1e-9)
    assert float(value) == pytest.approx(float(fun(x)[0]), rel=1e-12)
    found = jax.jvp(slope, (x,), (along,))[1]
    step = 1e-5
    expected = (slope(x + step * along) - slope(x - step * along)) / (2 * step)
    np.testing.assert_allclose(found, expected, atol=1e-6 * float(jnp.abs(expected).max()))


def test_the_hessian_of_the_default_loss_of_a_network(x64: None) -> None:
    """``jax.hessian`` itself, forward over reverse, and its symmetry."""
    backbone = random_backbone(convs=3, dtype=np.float64)
    layers = ("relu1_1", "relu1_2", "relu2_1")
    record = Objective(("relu2_1",), layers)
    photograph, painting, x = (jax.random.uniform(jax.random.key(i), (1, 4, 6, 3)) for i in range(3))
    network = prepared(backbone, layers)
    content, style = (nstjax.features(network, image, layers) for image in (photograph, painting))
    fun = objective(record, nstjax.features, network, make_targets(record, content, style))
    hessian = jax.jit(jax.hessian(lambda image: fun(image)[0]))(x).reshape(72, 72)
    assert float(jnp.abs(hessian).max()) > 0
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-10 * float(jnp.abs(hessian).max()))
