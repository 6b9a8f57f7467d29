"""The temporal loss: its formula, its gradient, and no effect where a position is occluded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.losses import temporal_loss

RNG = np.random.default_rng(1)


def arrays(dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, warped = RNG.uniform(size=(2, 2, 5, 4, 3)).astype(dtype)
    return image, warped, RNG.uniform(size=(2, 5, 4)).astype(dtype)


def test_the_formula(x64) -> None:
    image, warped, weights = arrays()
    wanted = 0.0
    for n, i, j, c in np.ndindex(image.shape):
        wanted += weights[n, i, j] * (image[n, i, j, c] - warped[n, i, j, c]) ** 2
    np.testing.assert_allclose(temporal_loss(image, warped, weights), wanted / image.size, rtol=1e-12)


def test_the_gradient_against_central_differences(x64) -> None:
    image, warped, weights = arrays()
    weights[0] = 0
    gradient = np.asarray(jax.grad(temporal_loss)(jnp.asarray(image), warped, weights))
    step = 1e-6
    for place in [(0, 1, 2, 0), (1, 4, 3, 2), (1, 0, 0, 1)]:
        change = np.zeros_like(image)
        change[place] = step
        both = [float(temporal_loss(image + sign * change, warped, weights)) for sign in (1, -1)]
        np.testing.assert_allclose(gradient[place], (both[0] - both[1]) / (2 * step), rtol=1e-6, atol=1e-12)
    assert not gradient[0].any()
    assert gradient[1].all()


def test_occluded_positions_have_no_effect() -> None:
    image, warped, weights = arrays(np.float32)
    weights = (weights > 0.5).astype(np.float32)
    other = np.where(weights[..., None] == 0, RNG.uniform(size=image.shape), image).astype(np.float32)
    assert (other != image).any()
    assert float(temporal_loss(image, warped, weights)) == float(temporal_loss(other, warped, weights)) > 0
    assert float(temporal_loss(image, warped, np.zeros_like(weights))) == 0
    assert float(temporal_loss(image, image, weights)) == 0


def test_arrays_that_do_not_match() -> None:
    image, warped, weights = arrays(np.float32)
    for wrong in (
        (image[:1], warped, weights),
        (image, warped, weights[..., :2]),
        (image[0], warped[0], weights),
    ):
        with pytest.raises(nstjax.InputError, match="images of shape"):
            temporal_loss(*wrong)
    with pytest.raises(nstjax.InputError, match="the image has type uint8"):
        temporal_loss(image.astype(np.uint8), warped, weights)
