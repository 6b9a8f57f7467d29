"""Winograd's form of a convolution, against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nstjax.nn.winograd import transformed, winograd, winograd_convolve


def plain(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def by_winograd(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return winograd(x, transformed(kernel))


def arrays(n: int, h: int, w: int, c: int, k: int, d: int) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(h + w + c)
    x = rng.normal(size=(n, h, w, c)) + 0.5
    return jnp.asarray(x, jnp.float32), jnp.asarray(rng.normal(size=(k, k, c, d)), jnp.float32)


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (by_winograd, (2, 10, 14, 5, 3, 4)),
        (by_winograd, (1, 3, 9, 2, 3, 1)),  # of one row
        (by_winograd, (1, 12, 11, 3, 3, 2)),  # no multiples of a tile
        (winograd_convolve, (1, 9, 9, 64, 3, 32)),  # Winograd's
        (winograd_convolve, (2, 5, 4, 6, 1, 7)),
        (winograd_convolve, (1, 8, 8, 6, 3, 7)),
    ],
)
def test_forms_are_the_convolution(form, shape) -> None:
    x, kernel = arrays(*shape)
    expected = np.asarray(jax.jit(plain)(x, kernel))
    found = np.asarray(jax.jit(form)(x, kernel))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_a_stride() -> None:
    x, kernel = arrays(1, 11, 12, 4, 3, 5)
    found = jax.jit(winograd_convolve, static_argnums=2)(x, kernel, 2)
    np.testing.assert_allclose(found, plain(x, kernel, 2), rtol=1e-5, atol=1e-5)
