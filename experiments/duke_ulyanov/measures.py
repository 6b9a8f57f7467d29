"""Measures of the report's images, and a generator's output without running statistics."""

from functools import partial
from typing import Any

import jax
import numpy as np
from scipy import ndimage

from experiments.common import detail_correlation
from nstjax.generators import GeneratorConfig, draw_noise, generate_train
from nstjax.generators.store import Generator

LEVELS = 8  # bins of each color channel in a histogram


def histogram_distance(image: np.ndarray, other: np.ndarray) -> float:
    """Return half the sum of absolute differences of two color histograms: 0 if equal, 1 if disjoint.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
        other: ``(1, h', w', 3)`` in [0, 1], of any size.
    """

    def histogram(x: np.ndarray) -> np.ndarray:
        counts, _ = np.histogramdd(x.reshape(-1, 3), LEVELS, [(0, 1)] * 3)
        return counts / counts.sum()

    return float(np.abs(histogram(image) - histogram(other)).sum() / 2)


def sample_distance(image: np.ndarray, other: np.ndarray) -> float:
    """Return the root mean square difference of two images relative to that of independent images.

    Independent images with the same contrast would give 1; equal or flat images give 0.
    """
    independent = np.sqrt(image.var((0, 1, 2)).mean() + other.var((0, 1, 2)).mean())
    return float(np.sqrt(np.mean((image - other) ** 2)) / independent) if independent else 0.0


def detail_kept(image: np.ndarray, photograph: np.ndarray) -> float:
    """Return :func:`experiments.common.detail_correlation`, or 0 for a flat image (a failed training)."""
    flat = np.ptp(image, axis=(1, 2)).max() == 0
    return 0.0 if flat else detail_correlation(image, photograph)


def coarse_correlation(image: np.ndarray, other: np.ndarray, share: float = 1 / 32) -> float:
    """Return Pearson's correlation of the colors of two images after a Gaussian blur that removes detail.

    Args:
        image: ``(1, h, w, 3)``.
        other: ``(1, h, w, 3)``.
        share: standard deviation of the blur as a fraction of the height.

    Returns:
        The correlation; 0 if an image is flat.
    """
    if np.ptp(image) == 0 or np.ptp(other) == 0:
        return 0.0
    sigma = share * image.shape[1]
    blurred = [ndimage.gaussian_filter(x[0], (sigma, sigma, 0)).ravel() for x in (image, other)]
    return float(np.corrcoef(blurred[0], blurred[1])[0, 1])


def own_statistics(generator: Generator, image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Stylize with the mean and variance of the image's own activations, as in training with batch size 1.

    Args:
        generator: a generator with batch normalization.
        image: ``(1, h, w, 3)`` in [0, 1].
        seed: seed of the noise, which is that of :func:`nstjax.inference.stylize` for the same seed.

    Returns:
        ``(1, h', w', 3)`` in [0, 1], of the size of ``image``.
    """
    return np.asarray(_train_mode(generator.config, generator.variables, image, jax.random.key(seed)))


@partial(jax.jit, static_argnums=0)
def _train_mode(config: GeneratorConfig, variables: Any, image: jax.Array, key: jax.Array) -> jax.Array:
    noise = draw_noise(config, key[None], *image.shape[1:3])
    return generate_train(config, variables, image, noise)[0].clip(0, 1)
