"""Convolutions with gradients of their own, held to XLA's in double precision."""

from collections.abc import Callable

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from nstjax.nn.fast_conv import fast_convolve
from nstjax.nn.up_conv import convolve_transposed, upsample, upsample_convolve

LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain(x: Array, kernel: Array, stride: int = 1) -> Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=LAYOUT)


def normal(seed: int, *shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def assert_same(ours: Callable, theirs: Callable, *inputs: Array) -> None:
    """Values, and gradients with respect to everything."""
    shape = jax.eval_shape(theirs, *inputs).shape
    cotangent = normal(9, *shape)

    def both(f: Callable) -> tuple[Array, ...]:
        value, back = jax.vjp(f, *inputs)
        return value, *back(cotangent)

    for x, y in zip(
        jax.jit(both, static_argnums=0)(ours), jax.jit(both, static_argnums=0)(theirs), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("kernel", "stride", "x"),
    [
        ((3, 3, 5, 4), 1, (2, 7, 6)),
        ((3, 3, 3, 4), 2, (2, 7, 6)),  # a column that is not read
        ((3, 3, 3, 4), 2, (1, 8, 9)),
        ((3, 3, 2, 2), 2, (1, 3, 3)),  # a single pixel
        ((9, 9, 3, 5), 1, (2, 12, 11)),
        ((9, 9, 4, 3), 1, (2, 10, 13)),  # few outputs, one row at a time
        ((9, 9, 17, 3), 1, (1, 9, 9)),
        ((1, 1, 3, 2), 1, (2, 4, 5)),
        ((1, 3, 3, 2), 1, (1, 4, 5)),
        ((3, 1, 3, 2), 1, (1, 4, 5)),  # results one column wide
        ((2, 2, 3, 3), 1, (2, 2, 2)),
    ],
    ids=str,
)
def test_convolution(x64: None, kernel: tuple, stride: int, x: tuple) -> None:
    inputs = normal(0, *x, kernel[2]), normal(1, *kernel)
    assert_same(lambda a, k: fast_convolve(a, k, stride), lambda a, k: plain(a, k, stride), *inputs)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 2), (6, 5)], ids=str)
@pytest.mark.parametrize("how", ["nearest", "bilinear"])
@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("zeros", "constant")])
def test_upsampling_and_convolution_as_one(
    x64: None, size: tuple[int, int], how: str, border: str, mode: str
) -> None:
    def two(x: Array, kernel: Array) -> Array:
        return plain(jnp.pad(upsample(x, how), ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode), kernel)

    inputs = normal(0, 2, *size, 3), normal(1, 3, 3, 3, 4)
    assert_same(lambda x, kernel: upsample_convolve(x, kernel, how, border), two, *inputs)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (6, 5)], ids=str)
def test_transposed_convolution(x64: None, size: tuple[int, int]) -> None:
    def dilated(x: Array, kernel: Array) -> Array:
        pads = [(1, 2), (1, 2)]
        return lax.conv_general_dilated(x, kernel[::-1, ::-1], (1, 1), pads, (2, 2), dimension_numbers=LAYOUT)

    assert_same(convolve_transposed, dilated, normal(0, 2, *size, 3), normal(1, 3, 3, 3, 4))


def test_upsampling(x64: None) -> None:
    x = normal(0, 2, 3, 5, 2)
    np.testing.assert_array_equal(upsample(x, "nearest"), np.repeat(np.repeat(x, 2, 1), 2, 2))
    expected = jax.image.resize(x, (2, 6, 10, 2), "bilinear")
    np.testing.assert_allclose(upsample(x, "bilinear"), expected, rtol=1e-12, atol=1e-12)


def test_second_derivatives(x64: None) -> None:
    x, kernel = normal(0, 1, 6, 5, 2), normal(1, 3, 3, 2, 3)

    def slope_of(f: Callable) -> Array:
        def energy(k: Array) -> Array:
            return jnp.sum(jax.grad(lambda x: jnp.sum(f(x, k) ** 3))(x) ** 2)

        return jax.grad(energy)(kernel)

    np.testing.assert_allclose(slope_of(fast_convolve), slope_of(plain), rtol=1e-9)


def test_other_platforms_have_the_plain_convolution() -> None:
    x, kernel = jnp.zeros((2, 12, 11, 4)), jnp.zeros((9, 9, 4, 3))

    def gradients(f: Callable) -> Callable:
        return jax.jit(lambda x, k: jax.vjp(f, x, k)[1](jnp.ones((2, 4, 3, 3))))

    def lowered(f: Callable, platform: str) -> list[str]:
        text = jax.export.export(gradients(f), platforms=[platform])(x, kernel).mlir_module()
        return [line.split("window")[0] for line in text.splitlines() if "stablehlo.convolution" in line]

    for platform in ("cuda", "tpu"):
        assert len(lowered(fast_convolve, platform)) == len(lowered(plain, platform)) == 2
