"""Grids: the estimate of a repeating part against patterns of known amplitude, and the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

import nstjax
from nstjax.losses import grid_loss, periodic_energy


def columns(period: float, amplitude: float, side: int = 96) -> np.ndarray:
    """Sinusoid of the gray value along the width, with mean square ``amplitude²``."""
    wave = amplitude * np.sqrt(2) * np.sin(2 * np.pi * np.arange(side) / period)
    return np.asarray(0.5 + np.broadcast_to(wave[None, None, :, None], (1, side, side, 3)), np.float32)


@pytest.mark.parametrize("period", [2.5, 4, 8, 6, 12])
def test_the_energy_is_that_of_patterns_whose_period_divides_it(period: float) -> None:
    found = np.asarray(periodic_energy(columns(period, 0.1, 192), 8))
    assert found.shape == (1, 4, 4)
    inner = found[:, 1:3, 1:3]  # pixels near the border have another local mean
    if 8 % period == 0:
        np.testing.assert_allclose(inner, 0.01, rtol=1e-3)
    else:
        assert np.abs(inner).max() < 5e-4


def test_it_is_measured_in_each_window() -> None:
    image = np.full((1, 96, 144, 3), 0.5, np.float32)
    image[:, :48, 48:96] = columns(4, 0.05, 48)
    found = np.asarray(periodic_energy(image, 8))
    assert found.shape == (1, 2, 3)
    assert found[0, 0, 1] == pytest.approx(0.0025, rel=0.1)
    found = found.copy()
    found[0, 0, 1] = 0
    assert np.abs(found).max() < 2e-5


def test_irregular_texture_has_almost_no_energy_on_average() -> None:
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(40, 96, 96, 3)), (0, 1, 1, 0))
    noise = (0.5 + 0.1 * noise / noise.std()).astype(np.float32)
    found = np.asarray(periodic_energy(noise, 4), np.float64)
    light = noise @ np.array([0.299, 0.587, 0.114])
    power = np.var(light - ndimage.uniform_filter(light, (0, 4, 4)))
    # Only the local means of neighboring cells depend on each other. The mean square of the cells' mean, instead of the
    # mean over pairs, would be power / 36.
    assert abs(found.mean()) < power / 36 / 5


def test_the_mean_over_pairs_is_that_of_all_pairs() -> None:
    image = np.random.default_rng(1).uniform(size=(2, 13, 17, 3)).astype(np.float32)
    light = np.pad(image.astype(np.float64) @ [0.299, 0.587, 0.114], ((0, 0), (2, 1), (2, 1)), mode="edge")
    mean = sum(light[:, i : i + 13, j : j + 17] for i in range(4) for j in range(4)) / 16
    detail = (light[:, 2:15, 2:19] - mean)[:, :12, :12]
    cells = [detail[:, i : i + 4, j : j + 4] for i in (0, 4, 8) for j in (0, 4, 8)]
    pairs = [(a * b).mean((1, 2)) for i, a in enumerate(cells) for j, b in enumerate(cells) if i != j]
    np.testing.assert_allclose(
        np.asarray(periodic_energy(image, 4))[:, 0, 0], np.mean(pairs, 0), rtol=1e-4, atol=1e-7
    )


def test_the_loss_is_the_amplitude_and_its_gradient_is_finite(x64: None) -> None:
    image = np.concatenate([columns(8, 0.1), np.full((1, 96, 96, 3), 0.5)]).astype(np.float64)
    assert float(grid_loss(image, 8)) == pytest.approx(0.05, rel=0.03)
    assert float(grid_loss(image[1:], 8)) == pytest.approx(0, abs=1e-12)
    gradient = jax.grad(lambda x: grid_loss(x, 8))(jnp.asarray(image))
    assert np.isfinite(gradient).all()
    direction = np.random.default_rng(2).normal(size=image.shape)
    step = 1e-5
    change = float(grid_loss(image + step * direction, 8) - grid_loss(image - step * direction, 8))
    assert float((gradient * direction).sum()) == pytest.approx(change / (2 * step), rel=1e-4)


def test_small_images() -> None:
    assert periodic_energy(columns(4, 0.1, 16), 8).shape == (1, 1, 1)
    for side, period in ((15, 8), (96, 1)):
        with pytest.raises(nstjax.InputError, match=f"a period of {period} pixels cannot be measured"):
            periodic_energy(columns(4, 0.1, side), period)
    with pytest.raises(nstjax.InputError, match="image"):
        periodic_energy(np.zeros((1, 96, 96, 3), np.uint8), 8)
