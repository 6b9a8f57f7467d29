"""The forms of VGG's convolution on a CPU against XLA's own."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.nn import conv
from nstjax.nn.conv import conv3x3, freeze, gains
from nstjax.nn.prepare import prepared

SHAPES = {
    "Winograd": (1, 48, 44, 32, 32),
    "Winograd, not of whole tiles, to more channels": (2, 37, 31, 33, 40),
    "side by side": (2, 9, 11, 16, 3),
    "few positions": (1, 6, 7, 32, 32),
    "few channels": (1, 48, 44, 8, 32),
    "one row": (1, 1, 2048, 32, 32),
}


def arrays(n: int, h: int, w: int, c: int, d: int, dtype=np.float32) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(h + c)
    shapes = ((n, h, w, c), (3, 3, c, d), (d,))
    return tuple(jnp.asarray(rng.normal(size=shape) + 0.2, dtype) for shape in shapes)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_quick_forms_are_the_convolution(shape: tuple[int, ...], padding: str) -> None:
    x, kernel, bias = arrays(*shape)
    run = jax.jit(conv3x3, static_argnums=(3, 4))
    expected, found = (np.asarray(run(x, kernel, bias, padding, how)) for how in ("plain", "auto"))
    assert found.shape == (*shape[:3], shape[4])
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["Winograd", "side by side", "few channels"])
def test_gradients_are_the_convolution_s(name: str, x64: None) -> None:
    n, h, w, c, d = SHAPES[name]
    arguments = arrays(n, h, w, c, d, np.float64)
    cotangent = jnp.asarray(np.random.default_rng(0).normal(size=(n, h, w, d)))

    def loss(x: jax.Array, kernel: jax.Array, bias: jax.Array, how: str) -> jax.Array:
        return jnp.vdot(conv3x3(x, kernel, bias, "zeros", how), cotangent)

    found, expected = (
        jax.jit(jax.grad(loss, (0, 1, 2)), static_argnums=3)(*arguments, how) for how in ("auto", "plain")
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11 * jnp.abs(other).max())


def test_which_form_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    for name in ("_plain", "_side_by_side", "winograd"):
        real = getattr(conv, name)
        monkeypatch.setattr(conv, name, lambda *a, real=real, name=name: (taken.append(name), real(*a))[1])
    for name, shape in SHAPES.items():
        expected = {"Winograd": "winograd", "one": "winograd", "side": "_side_by_side"}
        conv._on_cpu(*arrays(*shape)[:2])
        assert taken.pop() == expected.get(name.replace(",", "").split()[0], "_plain")
    conv._on_cpu(
        *arrays(*SHAPES["Winograd"], dtype=jnp.bfloat16)[:2]
    )  # whose rounding the form would multiply
    assert taken == ["_plain"]


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_a_frozen_kernel_is_the_kernel_and_a_constant(padding: str, x64: None) -> None:
    x, kernel, bias = arrays(2, 17, 22, 32, 40, dtype=np.float64)
    kernels = freeze(kernel)

    def loss(x: jax.Array, kernel: jax.Array, kernels: conv.Frozen | None) -> jax.Array:
        return (conv3x3(x, kernel, bias, padding, frozen=kernels) ** 2).sum()

    run = jax.jit(jax.value_and_grad(loss, (0, 1)))
    value, (of_x, of_kernel) = run(x, kernel, kernels)
    expected, (expected_of_x, _) = run(x, kernel, None)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(of_x, expected_of_x, atol=1e-11 * jnp.abs(expected_of_x).max())
    assert not of_kernel.any()


def test_a_frozen_kernel_of_another_precision_is_not_taken() -> None:
    x, kernel, bias = arrays(1, 17, 22, 32, 32, dtype=jnp.bfloat16)
    found = conv3x3(x, kernel, bias, frozen=freeze(kernel.astype(jnp.float32)))
    np.testing.assert_array_equal(found, conv3x3(x, kernel, bias, method="plain"))
    assert not gains(jnp.zeros((3, 3, 16, 64)))


def test_a_prepared_network_gives_the_same(small: nstjax.Backbone) -> None:
    images = jax.random.uniform(jax.random.key(0), (1, 48, 56, 3))
    layers = ("relu1_2", "relu2_1")
    ready = prepared(small, ("relu1_2",))
    assert "frozen" in ready.params["conv1_2"]
    assert "frozen" not in ready.params["conv2_1"]  # deeper than asked for

    def loss(network: nstjax.Backbone, x: jax.Array, how: str) -> jax.Array:
        found = nstjax.features(network, x, layers, convolution=how)
        return sum((value**2).sum() for value in found.values())

    run = jax.jit(jax.value_and_grad(loss, 1), static_argnums=2)
    value, gradient = run(prepared(small, layers), images, "auto")
    expected, expected_gradient = run(small, images, "plain")
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4 * jnp.abs(expected_gradient).max())
    assert float(run(ready, images, "plain")[0]) == float(expected)  # the switch


def test_a_gradient_of_the_image_alone_has_none_of_the_kernel() -> None:
    """VGG's weights are constants: their gradient would cost a third of the time."""
    x, kernel, bias = arrays(*SHAPES["few channels"])

    def count(*of: int) -> float:
        run = jax.jit(jax.grad(lambda x, kernel: jnp.sum(conv3x3(x, kernel, bias) ** 2), of))
        return run.lower(x, kernel).compile().cost_analysis()["flops"]

    assert count(0) < 0.75 * count(0, 1)


def test_the_network_has_the_switch(small: nstjax.Backbone) -> None:
    images = jax.random.uniform(jax.random.key(0), (1, 48, 56, 3))
    layers = ("relu1_2", "relu2_1")
    found, expected = (nstjax.features(small, images, layers, convolution=how) for how in ("auto", "plain"))
    for name in layers:
        assert not np.array_equal(found[name], expected[name])
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5 * expected[name].max())
    with pytest.raises(nstjax.InputError, match="convolution"):
        nstjax.features(small, images, layers, convolution="fast")


FAULTS = """
import resource, sys
from nstjax.heap import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import jax, jax.numpy as jnp
x = jnp.ones((4096, 16))
program = jax.jit(lambda x: (x @ x.T).sum())
def faults():
    program(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults(), faults()
before = faults()
print([faults() for _ in range(4)][-1] - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc of the GNU C library")
def test_kept_memory_is_not_asked_for_again() -> None:
    """Intermediate results of 64 MiB, which are 16,384 pages, four times."""
    given_back, kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("give", "keep")
    )
    if given_back < 2_000:
        pytest.skip("this version of JAX keeps its buffers by itself")
    assert given_back > 10_000
    assert kept < 0.2 * given_back


@pytest.mark.parametrize("shape", [(1, 6, 8, 3), (2, 7, 5, 4)])
def test_max_pooling_shares_its_gradient_as_jax_does(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.maximum(rng.integers(-3, 3, shape), 0), jnp.float32)  # with many equal ones
    n, h, w, c = shape

    def plain(x: jax.Array) -> jax.Array:
        return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))

    y, pull = jax.vjp(lambda x: conv.pool2x2(x, "max"), x)
    expected, expected_pull = jax.vjp(plain, x)
    np.testing.assert_array_equal(y, expected)
    dy = jnp.asarray(rng.normal(size=y.shape), jnp.float32)
    np.testing.assert_allclose(pull(dy)[0], expected_pull(dy)[0], rtol=1e-6)
