"""Paintings: pure functions of their arguments, of any size, fine in texture, each manner unlike the others."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from nstjax.errors import InputError
from nstjax.paintings import PAINTINGS, paint

NAMES = tuple(PAINTINGS)
SEEDS = (0, 1)
SIDE = 128


@pytest.fixture(scope="module")
def pictures():
    return {(name, seed): paint(name, SIDE, SIDE, seed) for name in NAMES for seed in SEEDS}


def luma(image):
    return image[0] @ np.array((0.299, 0.587, 0.114), np.float32)


def detail(image):
    """The share of the luminance's variance in wavelengths under 6 pixels: 36 units of 768."""
    light = luma(image) - luma(image).mean()
    power = np.abs(np.fft.fft2(light)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(light.shape[0]), np.fft.fftfreq(light.shape[1])))
    return power[(frequency > 1 / 6)].sum() / power.sum()


def filter_bank(image):
    """Correlations between derivatives of the colours, at two scales: a small texture descriptor."""
    maps = []
    for sigma in (0.7, 2.0):
        for channel in np.moveaxis(image[0], -1, 0):
            for order in ((0, 1), (1, 0), (2, 0), (0, 2)):
                response = ndimage.gaussian_filter(channel, sigma, order)
                maps.append(np.abs(response).ravel() ** 0.5)
    return np.log(np.mean(maps, axis=1))


def test_there_are_at_least_five_manners():
    assert len(PAINTINGS) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_shape_type_and_range(pictures, name):
    image = pictures[name, 0]
    assert image.shape == (1, SIDE, SIDE, 3)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1
    # Neither dim nor burnt out: most of the range is used, and hardly anything is clipped.
    assert np.ptp(np.percentile(luma(image), (2, 98))) > 0.4
    assert (image.min(-1) >= 1).mean() < 0.08


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_paint_the_same(pictures, name):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(paint(name, SIDE, SIDE, 1), pictures[name, 1])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
def test_seeds_differ(pictures, name):
    for one, other in itertools.combinations(SEEDS, 2):
        assert np.abs(pictures[name, one] - pictures[name, other]).mean() > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_texture_is_fine(pictures, name):
    for seed in SEEDS:
        image = pictures[name, seed]
        assert detail(image) > 0.04
        # What a smooth gradient, or the picture without its strokes, would not reach.
        assert detail(ndimage.gaussian_filter(image, (0, 2, 2, 0))) < 0.02
        # And everywhere: few patches of an eighth of the side are flat.
        patches = luma(image).reshape(8, SIDE // 8, 8, SIDE // 8).std(axis=(1, 3))
        assert (patches > 0.012).mean() > 0.97


def test_manners_differ_more_than_seeds(pictures):
    described = {key: filter_bank(image) for key, image in pictures.items()}
    for one, other in itertools.combinations(NAMES, 2):
        between = np.mean(
            [np.linalg.norm(described[one, s] - described[other, t]) for s in SEEDS for t in SEEDS]
        )
        within = np.mean(
            [
                np.linalg.norm(described[name, s] - described[name, t])
                for name in (one, other)
                for s, t in itertools.combinations(SEEDS, 2)
            ]
        )
        assert between > 1.15 * within, (one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_painting_is_the_same_in_small(pictures, name):
    half = SIDE // 2
    small, large = paint(name, half, half, 0)[0], pictures[name, 0][0]
    shrunk = large.reshape(half, 2, half, 2, 3).mean((1, 3))
    blurred = [ndimage.gaussian_filter(image, (2, 2, 0)).ravel() for image in (small, shrunk)]
    assert np.corrcoef(*blurred)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        *((name, 97, 113) for name in NAMES),
        *((name, 17, 16) for name in NAMES),
        ("waves", 16, 200),
        ("glass", 160, 31),
    ],
)
def test_odd_and_oblong_sizes(name, height, width):
    image = paint(name, height, width)
    assert image.shape == (1, height, width, 3)
    assert np.isfinite(image).all()
    assert image.std() > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mona-lisa",), "`name` is 'mona-lisa': it must be one of swirls, "),
        (("swirls", 15), "the height of a painting is 15: it must be from 16 to 8192 pixels"),
        (("swirls", 64, 8193), "the width of a painting is 8193: it must be from 16 to 8192 pixels"),
        (("swirls", 64, 64, -1), "the seed of a painting is -1: it must be at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError) as caught:
        paint(*arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
