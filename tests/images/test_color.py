"""Colour: luminance against scikit-image, the maps' algebra, what masks select, edges."""

import subprocess
import sys

import numpy as np
import pytest
from skimage.color import rgb2yiq
from skimage.exposure import match_histograms

from nstjax import InputError
from nstjax.images.color import (
    COLOR_TRANSFERS,
    RIDGE,
    combine,
    linear_map,
    luminance,
    match_luminance,
    transfer_color,
)

LINEAR = COLOR_TRANSFERS[1:]
RNG = np.random.default_rng(0)
MIXING = np.array([[1.0, 0.3, -0.2], [0.2, 0.8, 0.1], [-0.4, 0.5, 0.6]])
# Of so little contrast that no map leaves [0, 1], and with correlated channels.
SOURCE = 0.5 + 0.08 * RNG.uniform(-1, 1, size=(1, 20, 30, 3)) @ MIXING
REFERENCE = 0.45 + 0.05 * RNG.uniform(-1, 1, size=(1, 17, 25, 3)) @ MIXING.T[::-1]
BUSY = RNG.uniform(size=(1, 9, 8, 3)).astype(np.float32)
OTHER = RNG.uniform(size=(1, 7, 11, 3)).astype(np.float32) ** 2


def half(image: np.ndarray) -> np.ndarray:
    """A mask of the left half."""
    mask = np.zeros(image.shape[1:3])
    mask[:, : image.shape[2] // 2] = 1
    return mask


def covariance(image: np.ndarray) -> np.ndarray:
    return np.cov(np.asarray(image, np.float64).reshape(-1, 3), rowvar=False, bias=True)


def definite(seed: int) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(3, 3))
    return a @ a.T + 0.1 * np.eye(3)


def assert_image(image: np.ndarray, shape: tuple[int, ...]) -> None:
    assert image.dtype == np.float32
    assert image.shape == shape
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


# Luminance


def test_luminance_is_that_of_scikit_image() -> None:
    grey = luminance(BUSY)
    assert_image(grey, BUSY.shape)
    np.testing.assert_allclose(grey[0, ..., 0], rgb2yiq(BUSY[0].astype(np.float64))[..., 0], rtol=1e-6)
    np.testing.assert_allclose(grey[..., 0], BUSY @ np.array([0.299, 0.587, 0.114]), rtol=1e-6)
    for channel in (1, 2):
        np.testing.assert_array_equal(grey[..., channel], grey[..., 0])


def test_luminance_of_grey_is_itself() -> None:
    grey = BUSY[..., :1].repeat(3, -1)
    np.testing.assert_allclose(luminance(grey), grey, rtol=1e-6)


def test_combine_with_its_own_luminance_is_the_image() -> None:
    np.testing.assert_allclose(combine(luminance(BUSY), BUSY), BUSY, atol=1e-6)
    np.testing.assert_allclose(combine(BUSY, BUSY), BUSY, atol=1e-6)


def test_combine_takes_light_from_one_and_colour_from_the_other() -> None:
    other = SOURCE[:, ::-1]
    result = combine(other, SOURCE)
    assert_image(result, SOURCE.shape)
    yiq = rgb2yiq(result[0].astype(np.float64))
    np.testing.assert_allclose(yiq[..., 0], rgb2yiq(other[0])[..., 0], atol=1e-6)
    np.testing.assert_allclose(yiq[..., 1:], rgb2yiq(SOURCE[0])[..., 1:], atol=1e-6)


def test_combine_clips() -> None:
    red = np.tile([1.0, 0, 0], (1, 2, 2, 1))
    assert_image(combine(np.ones((1, 2, 2, 3)), red), red.shape)
    assert_image(combine(np.zeros((1, 2, 2, 3)), red), red.shape)


def test_match_luminance_gives_the_contents_mean_and_deviation() -> None:
    style, content = luminance(SOURCE), luminance(REFERENCE)
    result = match_luminance(style, content)
    assert_image(result, style.shape)
    values = result.astype(np.float64)
    np.testing.assert_allclose(values.mean(), content.astype(np.float64).mean(), rtol=1e-6)
    np.testing.assert_allclose(values.std(), content.astype(np.float64).std(), rtol=1e-5)
    # An affine map with a positive slope.
    assert np.corrcoef(values.ravel(), style.ravel())[0, 1] == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(match_luminance(style, style), style, atol=1e-6)


def test_match_luminance_counts_pixels_by_weight() -> None:
    style, content = luminance(SOURCE), luminance(REFERENCE)
    style_weights = RNG.uniform(size=style.shape[1:3])
    content_weights = RNG.uniform(size=content.shape[1:3])

    def moments(image: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
        mean = (weights * image[0, ..., 0]).sum() / weights.sum()
        return mean, ((weights * (image[0, ..., 0] - mean) ** 2).sum() / weights.sum()) ** 0.5

    result = match_luminance(style, content, style_weights, content_weights)
    np.testing.assert_allclose(moments(result, style_weights), moments(content, content_weights), rtol=1e-5)
    # Weights of 0 and 1 are a selection, and the map reaches the pixels outside too.
    masked = match_luminance(style, content, half(style), half(content))
    selected = match_luminance(style[:, :, :15], content[:, :, :12])
    np.testing.assert_allclose(masked[:, :, :15], selected, atol=1e-6)
    assert not np.allclose(masked[:, :, 15:], style[:, :, 15:], atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_match_luminance_of_a_flat_style_is_the_contents_mean(value: float) -> None:
    style, content = np.full((1, 33, 7, 3), value, np.float32), luminance(OTHER)
    result = match_luminance(style, content)
    assert_image(result, style.shape)
    np.testing.assert_allclose(result, content.mean(), rtol=1e-5)
    np.testing.assert_allclose(match_luminance(content, style), value, atol=1e-6)
    # Soft weights round the mean, and the deviation is not always an exact zero.
    for _ in range(20):
        weights = RNG.uniform(size=style.shape[1:3])
        np.testing.assert_allclose(match_luminance(style, content, weights), content.mean(), rtol=1e-5)


def test_match_luminance_clips() -> None:
    style = np.zeros((1, 10, 10, 3)) + 0.5
    style[0, 0, 0] = 1  # one pixel far from the mean
    assert_image(match_luminance(style, luminance(BUSY)), style.shape)


# The linear maps


@pytest.mark.parametrize("method", LINEAR)
def test_maps_take_one_covariance_to_the_other(method: str) -> None:
    for seed in range(5):
        source, reference = definite(seed), definite(seed + 100)
        a = linear_map(source, reference, method)
        np.testing.assert_allclose(a @ source @ a.T, reference, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(linear_map(source, source, method), np.eye(3), atol=1e-9)
        # A common factor of all brightnesses is a common factor of the map.
        np.testing.assert_allclose(linear_map(source, 4 * reference, method), 2 * a, rtol=1e-9, atol=1e-9)


def test_forms_of_the_maps() -> None:
    source, reference = definite(1), definite(2)
    chol, pca, symmetric = (linear_map(source, reference, method) for method in LINEAR)
    np.testing.assert_allclose(np.triu(chol, 1), 0, atol=1e-12)
    assert (np.diag(chol) > 0).all()
    np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-12)
    assert np.linalg.eigvalsh(symmetric).min() > 0
    # The three are not one.
    assert np.abs(chol - pca).max() > 1e-3
    assert np.abs(pca - symmetric).max() > 1e-3
    # pca is the product of two symmetric roots: A Σ_S^½ = Σ_C^½.
    values, vectors = np.linalg.eigh(source)
    root = pca @ (vectors * np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    np.testing.assert_allclose(root @ root, reference, atol=1e-12)


def test_maps_of_independent_channels_agree() -> None:
    """Diagonal covariances leave one answer: the ratio of deviations."""
    source, reference = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    for method in LINEAR:
        np.testing.assert_allclose(linear_map(source, reference, method), np.diag([2, 1, 1 / 3]), atol=1e-12)


def test_the_symmetric_map_moves_colours_least() -> None:
    """Optimal transport: E|Ax − x|² is ``tr(A Σ A' − AΣ − ΣA' + Σ)``, of which only ``−2 tr(AΣ)`` varies."""
    for seed in range(5):
        source, reference = definite(seed), definite(seed + 50)
        kept = {method: np.trace(linear_map(source, reference, method) @ source) for method in LINEAR}
        assert kept["symmetric"] >= max(kept.values())


@pytest.mark.parametrize("method", LINEAR)
def test_linear_transfer_gives_mean_and_covariance(method: str) -> None:
    result = transfer_color(SOURCE, REFERENCE, method)
    assert_image(result, SOURCE.shape)
    assert 0 < result.min() < result.max() < 1  # nothing was clipped
    np.testing.assert_allclose(
        result.astype(np.float64).mean((0, 1, 2)), REFERENCE.mean((0, 1, 2)), atol=1e-7
    )
    a = linear_map(covariance(SOURCE) + RIDGE * np.eye(3), covariance(REFERENCE) + RIDGE * np.eye(3), method)
    expected = covariance(REFERENCE) + RIDGE * (np.eye(3) - a @ a.T)
    np.testing.assert_allclose(covariance(result), expected, atol=1e-8)
    np.testing.assert_allclose(covariance(result), covariance(REFERENCE), atol=10 * RIDGE)


# All transfers


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
def test_a_transfer_to_itself_changes_nothing(method: str) -> None:
    np.testing.assert_allclose(transfer_color(BUSY, BUSY, method), BUSY, atol=1e-6)


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
def test_transfers_are_blind_to_the_references_positions(method: str) -> None:
    shuffled = RNG.permutation(REFERENCE.reshape(-1, 3)).reshape(1, 25, 17, 3)
    expected = transfer_color(SOURCE, REFERENCE, method)
    np.testing.assert_allclose(transfer_color(SOURCE, shuffled, method), expected, atol=1e-6)


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
def test_transfers_stay_within_range(method: str) -> None:
    black_and_white = np.zeros((1, 6, 6, 3))
    black_and_white[:, 3:] = 1
    for source, reference in ((BUSY, OTHER), (SOURCE, black_and_white), (black_and_white, BUSY)):
        before = source.copy(), reference.copy()
        assert_image(transfer_color(source, reference, method), source.shape)
        np.testing.assert_array_equal(source, before[0])
        np.testing.assert_array_equal(reference, before[1])


def test_histogram_is_that_of_scikit_image() -> None:
    expected = match_histograms(BUSY[0], OTHER[0], channel_axis=-1)
    np.testing.assert_array_equal(transfer_color(BUSY, OTHER, "histogram")[0], expected)
    # Repeated values, as 8-bit images have.
    coarse, target = np.rint(BUSY * 7) / 7, np.rint(OTHER * 5) / 5
    expected = match_histograms(coarse[0], target[0], channel_axis=-1)
    np.testing.assert_array_equal(transfer_color(coarse, target, "histogram")[0], expected)


def test_histogram_of_as_many_pixels_is_a_reordering() -> None:
    target = RNG.uniform(size=BUSY.shape).astype(np.float32)
    result = transfer_color(BUSY, target, "histogram")
    for channel in range(3):
        np.testing.assert_allclose(
            np.sort(result[..., channel].ravel()), np.sort(target[..., channel].ravel()), atol=1e-6
        )
        order = np.argsort(BUSY[..., channel].ravel())
        assert (np.diff(result[..., channel].ravel()[order]) >= 0).all()


def test_histogram_maps_pixels_outside_the_mask_along_the_same_curve() -> None:
    mask, colors_mask = half(BUSY), half(OTHER)
    result = transfer_color(BUSY, OTHER, "histogram", mask, colors_mask)
    inside = mask > 0.5
    expected = match_histograms(BUSY[0][inside], OTHER[0][colors_mask > 0.5], channel_axis=-1)
    np.testing.assert_array_equal(result[0][inside], expected)
    for channel in range(3):
        samples, lowest = BUSY[0, ..., channel][inside], expected[:, channel].min()
        order = np.argsort(BUSY[..., channel].ravel())
        assert (np.diff(result[..., channel].ravel()[order]) >= 0).all()
        darker = BUSY[0, ..., channel] < samples.min()
        np.testing.assert_array_equal(result[0, ..., channel][darker], lowest)


# Masks


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
def test_masks_of_ones_are_no_masks(method: str) -> None:
    ones = np.ones(SOURCE.shape[1:3]), np.ones(REFERENCE.shape[1:3])
    expected = transfer_color(SOURCE, REFERENCE, method)
    np.testing.assert_array_equal(transfer_color(SOURCE, REFERENCE, method, *ones), expected)


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
def test_what_is_outside_the_masks_does_not_count(method: str) -> None:
    mask, colors_mask = half(SOURCE), half(REFERENCE)
    masked = transfer_color(SOURCE, REFERENCE, method, mask, colors_mask)
    selected = transfer_color(SOURCE[:, :, :15], REFERENCE[:, :, :12], method)
    np.testing.assert_allclose(masked[:, :, :15], selected, atol=1e-6)
    painted = np.where(colors_mask[None, ..., None] > 0, REFERENCE, [1.0, 0, 1])
    again = transfer_color(SOURCE, painted, method, mask, colors_mask)
    np.testing.assert_allclose(again, masked, atol=1e-6)
    # The pixels outside are mapped, each as a pixel inside of the same colour is.
    mirrored = np.concatenate([SOURCE[:, :, :15], SOURCE[:, :, :15]], axis=2)
    result = transfer_color(mirrored, REFERENCE, method, mask, colors_mask)
    np.testing.assert_allclose(result[:, :, 15:], selected, atol=1e-6)


@pytest.mark.parametrize("method", LINEAR)
def test_a_weight_counts_like_repetition(method: str) -> None:
    weights = np.full(REFERENCE.shape[1:3], 0.5)
    weights[:5] = 1
    repeated = np.concatenate([REFERENCE, REFERENCE[:, :5]], axis=1)
    expected = transfer_color(SOURCE, repeated, method)
    result = transfer_color(SOURCE, REFERENCE, method, reference_weights=weights)
    np.testing.assert_allclose(result, expected, atol=1e-6)


# Edges


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
def test_flat_images_and_single_pixels(method: str) -> None:
    flat, pixel = np.tile([0.1, 0.5, 1.0], (1, 13, 7, 1)), np.tile([0.9, 0.3, 0.0], (1, 1, 1, 1))
    for source in (flat, pixel):
        result = transfer_color(source, OTHER, method)
        assert_image(result, source.shape)
        assert np.ptp(result, axis=(0, 1, 2)).max() < 1e-6  # one colour stays one
    for reference in (flat, pixel):
        result = transfer_color(SOURCE, reference, method)
        assert_image(result, SOURCE.shape)
        # The 1e-5 leaves a shade of the source: deviations of 0.003 at most.
        np.testing.assert_allclose(result, np.broadcast_to(reference[0, 0, 0], SOURCE.shape), atol=0.015)
    np.testing.assert_allclose(transfer_color(flat, pixel, method)[0, 0, 0], pixel[0, 0, 0], atol=1e-6)
    one = np.zeros(OTHER.shape[1:3])
    one[2, 3] = 1
    assert_image(transfer_color(OTHER, BUSY, method, one), OTHER.shape)


def test_doubles_are_taken_and_integers_refused() -> None:
    """Integers could mean 0 to 255, 0 to 65535, or 0 and 1."""
    image = np.zeros((1, 2, 2, 3))
    image[0, 0] = 1
    np.testing.assert_allclose(luminance(image), image, atol=1e-6)
    assert_image(transfer_color(image, BUSY.astype(np.float64), "pca"), image.shape)
    for call in (
        luminance,
        lambda x: transfer_color(x, BUSY, "pca"),
        lambda x: transfer_color(BUSY, x, "pca"),
    ):
        with pytest.raises(InputError, match="uint8: it must be floating point"):
            call(image.astype(np.uint8))
    np.testing.assert_allclose(luminance(np.full((1, 1, 1, 3), 1.5)), 1.5, rtol=1e-6)  # is not clipped


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transfer_color(BUSY, OTHER, "mean"), "`method` is 'mean': it must be one of"),
        (lambda: linear_map(np.eye(3), np.eye(3), "histogram"), "must be one of cholesky"),
        (lambda: transfer_color(BUSY[0], OTHER, "pca"), "source image has shape .* must be"),
        (lambda: transfer_color(BUSY, OTHER[..., :1], "pca"), "reference image has shape"),
        (lambda: transfer_color(BUSY, OTHER[:, :0], "pca"), "reference image has shape"),
        (lambda: luminance(np.concatenate([BUSY, BUSY])), "given image has shape"),
        (lambda: combine(BUSY, OTHER), "luminance image is 8×9 and the color image 11×7: resize"),
        (lambda: match_luminance(BUSY, OTHER, np.ones((9, 9))), "style weights have shape .* resize"),
        (lambda: match_luminance(BUSY, OTHER, None, np.ones((9, 8))), "content weights have shape"),
        (lambda: match_luminance(BUSY, OTHER, np.zeros((9, 8))), "style weights are all nearly zero"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("method", COLOR_TRANSFERS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, "all nearly zero"),
        (1e-5, "all nearly zero"),
        (-0.5, "finite and within"),
        (255.0, "finite and within"),
        (np.nan, "finite and within"),
        (np.inf, "finite and within"),
    ],
)
def test_bad_weights_are_refused(method: str, value: float, message: str) -> None:
    for image, name in ((BUSY, "source"), (OTHER, "reference")):
        weights = np.zeros(image.shape[1:3])
        weights[1, 1] = value
        with pytest.raises(InputError, match=f"the {name} weights .*{message}"):
            transfer_color(BUSY, OTHER, method, **{f"{name}_weights": weights})
        with pytest.raises(InputError, match=f"the {name} weights have shape"):
            transfer_color(BUSY, OTHER, method, **{f"{name}_weights": weights[1:]})


def test_faint_masks_suit_linear_maps_and_no_histogram() -> None:
    faint = np.full(OTHER.shape[1:3], 0.25)
    expected = transfer_color(BUSY, OTHER, "pca")
    np.testing.assert_allclose(transfer_color(BUSY, OTHER, "pca", None, faint), expected, atol=1e-6)
    with pytest.raises(InputError, match="reference weights are nowhere over 0.5"):
        transfer_color(BUSY, OTHER, "histogram", None, faint)


def test_rounding_of_weights_is_forgiven() -> None:
    weights = np.full(OTHER.shape[1:3], 1 + 1e-7)
    weights[0, 0] = -1e-7
    exact = weights.clip(0, 1)
    for method in COLOR_TRANSFERS:
        np.testing.assert_array_equal(
            transfer_color(BUSY, OTHER, method, None, weights),
            transfer_color(BUSY, OTHER, method, None, exact),
        )


def test_scikit_image_is_imported_late() -> None:
    """It is slow to import, and every command imports this module."""
    code = "import sys, nstjax.images.color; sys.exit('skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
