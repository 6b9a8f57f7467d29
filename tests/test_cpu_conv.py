"""The CPU's forms of convolution, against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nstjax.generators.steps import convolve as plain
from nstjax.generators.steps import upsample
from nstjax.nn.cpu_conv import convolve, in_groups, to_few, winograd

PLAIN = jax.jit(lambda x, kernel: plain(x, kernel, 1))


def arrays(n: int, h: int, w: int, c: int, k: int, d: int) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(h + w + c)
    x = rng.normal(size=(n, h, w, c)) + 0.5
    return jnp.asarray(x, jnp.float32), jnp.asarray(rng.normal(size=(k, k, c, d)), jnp.float32)


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (winograd, (2, 10, 14, 5, 3, 4)),
        (winograd, (1, 3, 9, 2, 3, 1)),  # of one row
        (winograd, (1, 12, 11, 3, 3, 2)),  # no multiples of a tile
        (in_groups, (1, 9, 8, 37, 3, 4)),
        (to_few, (2, 13, 12, 20, 5, 3)),
        (to_few, (1, 9, 10, 4, 9, 1)),
        (convolve, (1, 9, 9, 64, 3, 32)),  # Winograd's
        (convolve, (1, 12, 13, 17, 9, 3)),
        (convolve, (1, 12, 13, 3, 9, 20)),
        (convolve, (1, 6, 7, 20, 3, 8)),
        (convolve, (2, 5, 4, 6, 1, 7)),
        (convolve, (1, 8, 8, 6, 3, 7)),
    ],
)
def test_forms_are_the_convolution(form, shape) -> None:
    x, kernel = arrays(*shape)
    expected = np.asarray(PLAIN(x, kernel))
    found = np.asarray(jax.jit(form)(x, kernel))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_a_stride() -> None:
    x, kernel = arrays(1, 11, 12, 4, 3, 5)
    np.testing.assert_allclose(convolve(x, kernel, 2), plain(x, kernel, 2), rtol=1e-6)


def test_gradients_are_the_convolutions_too() -> None:
    x, kernel = arrays(1, 9, 10, 3, 3, 2)

    def of(form):
        return jax.jit(jax.grad(lambda x, k: jnp.sin(form(x, k)).sum(), (0, 1)))(x, kernel)

    for found, expected in zip(of(winograd), of(lambda x, k: plain(x, k, 1)), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3)])
def test_bilinear_upsampling_is_resizing(size: tuple[int, int]) -> None:
    x = arrays(2, *size, 3, 1, 1)[0]
    expected = jax.image.resize(x, (2, 2 * size[0], 2 * size[1], 3), "bilinear")
    np.testing.assert_allclose(jax.jit(lambda x: upsample(x, "bilinear"))(x), expected, atol=1e-6)
