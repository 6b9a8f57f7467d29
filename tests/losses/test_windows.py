"""The style loss of windows, and textures that have no empty part."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.cli.resolve import resolve_command
from nstjax.losses import Objective, gram_matrix, window_loss
from nstjax.losses.windows import POWER, window_grams
from nstjax.optim import Lbfgs
from nstjax.synthesis import PRESETS, TEXTURE
from tests.helpers.losses import assert_gradient, loops_gram

RNG = np.random.default_rng(0)
F = RNG.normal(size=(1, 13, 21, 3))
A = gram_matrix(jnp.asarray(RNG.normal(size=(1, 5, 6, 3))), "positions")


def test_windows_are_pairs_of_cells_cut_from_the_middle(x64: None) -> None:
    found = np.asarray(window_grams(jnp.asarray(F), 2))  # cells of 3: 4 rows and 7 columns of 13 and 21
    assert found.shape == (3, 6, 3, 3)
    for i in range(3):
        for j in range(6):
            window = F[:, 3 * i : 3 * i + 6, 3 * j : 3 * j + 6]
            np.testing.assert_allclose(found[i, j], loops_gram(window) / 36, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("height", "width", "windows"), [(1, 1, 8), (2, 3, 1), (1, 9, 2), (5, 4, 64)])
def test_small_layers_have_fewer_windows(height: int, width: int, windows: int) -> None:
    f = jnp.asarray(RNG.normal(size=(1, height, width, 3)), jnp.float32)
    grams = window_grams(f, windows)
    assert min(grams.shape[:2]) >= 1
    assert np.isfinite(float(window_loss(f, A.astype(jnp.float32), windows)))


def test_window_loss_is_the_power_mean_of_relative_losses(x64: None) -> None:
    grams = np.asarray(window_grams(jnp.asarray(F), 2))
    each = ((grams - np.asarray(A)) ** 2).sum((2, 3)) / (np.asarray(A) ** 2).sum()
    expected = (each**POWER).mean() ** (1 / POWER)
    np.testing.assert_allclose(window_loss(jnp.asarray(F), A, 2), expected, rtol=1e-4)
    assert expected < each.max() < 2 * expected  # the worst window decides


def test_window_loss_gradient(x64: None) -> None:
    assert_gradient(lambda f: window_loss(f, A, 2), F)
    blank = jnp.zeros((1, 8, 8, 3))
    assert np.isfinite(np.asarray(window_grams(blank, 4))).all()


def test_a_half_empty_picture_has_the_statistics_of_the_whole_and_not_of_its_windows(x64: None) -> None:
    full = RNG.normal(size=(1, 8, 8, 3))
    half = np.concatenate([np.sqrt(2) * full, 0 * full], 1)
    target = gram_matrix(jnp.asarray(full), "positions")
    np.testing.assert_allclose(gram_matrix(jnp.asarray(half), "positions"), target, rtol=1e-12)
    assert window_loss(jnp.asarray(half), target, 2) > 0.9
    tiled = np.tile(full[:, :2, :2], (1, 8, 4, 1))
    same = gram_matrix(jnp.asarray(tiled), "positions")
    assert window_loss(jnp.asarray(tiled), same, 2) < 1e-5


def rings(side: int, period: float) -> np.ndarray:
    """Concentric rings about the corners of a grid, ``(1, side, side, 3)`` in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side] % 32 - 16.0
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * np.hypot(y, x) / period)
    return np.stack([wave, 0.3 + 0.4 * wave, 1 - wave], -1)[None].astype(np.float32)


def contrasts(image: np.ndarray, side: int) -> np.ndarray:
    """The standard deviation in every window of a picture, at steps of half a window."""
    starts = range(0, image.shape[1] - side + 1, side // 2)
    return np.array(
        [[image[0, i : i + side, j : j + side].std((0, 1)).mean() for j in starts] for i in starts]
    )


@pytest.mark.slow
def test_a_texture_has_structure_in_every_part() -> None:
    exemplar = rings(96, 6)
    config = dataclasses.replace(TEXTURE, size=96, optimizer=Lbfgs(iterations=40))
    result = nstjax.texture(exemplar, nstjax.load_backbone("embedded"), config)
    found = contrasts(result.image, 32)
    assert found.min() > 0.8 * np.median(found)
    assert found.min() > 0.8 * contrasts(exemplar, 32).mean()
    kinds = {name.split("/")[0] for name in result.history[-1].terms}
    assert kinds == {"style", "windows"}


def test_windows_are_of_gram_matrices_in_one_piece(small: nstjax.Backbone) -> None:
    record = dataclasses.replace(TEXTURE.objective, style_statistic="linear").for_layers(small.layers)
    assert record.window_weight == 0
    assert TEXTURE.objective.for_layers(small.layers).window_weight > 0
    with pytest.raises(nstjax.InputError, match="`window_weight`"):
        nstjax.texture(rings(64, 6), small, dataclasses.replace(TEXTURE, size=64, scales=(64,), tile=32))
    for wrong in ({"windows": 0}, {"window_weight": -1.0}, {"window_weight": float("nan")}):
        with pytest.raises(nstjax.InputError, match="`window"):
            Objective(**wrong)


def test_presets_of_a_texture() -> None:
    fast = resolve_command("texture", ["a.png", "-o", "b.png", "--preset", "fast"]).jobs[0].config
    assert fast.objective == TEXTURE.objective
    assert fast.size == PRESETS["fast"].size
    paper = resolve_command("texture", ["a.png", "-o", "b.png", "--preset", "gatys"]).jobs[0].config
    assert paper.objective.window_weight == 0
    assert paper.objective.style_layers == PRESETS["gatys"].objective.style_layers
