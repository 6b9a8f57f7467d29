"""What is measured of the report's pictures, and batch normalisation without its running statistics."""

from functools import partial
from typing import Any

import jax
import numpy as np
from scipy import ndimage

from experiments.common import detail_correlation
from nstjax.generators import GeneratorConfig, draw_noise, generate_train
from nstjax.generators.store import Generator

LEVELS = 8  # of each colour channel in a histogram


def histogram_distance(image: np.ndarray, other: np.ndarray) -> float:
    """Half the sum of absolute differences of two colour histograms: 0 for equal ones, 1 for disjoint ones.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
        other: likewise, of any size.
    """

    def histogram(x: np.ndarray) -> np.ndarray:
        counts, _ = np.histogramdd(x.reshape(-1, 3), LEVELS, [(0, 1)] * 3)
        return counts / counts.sum()

    return float(np.abs(histogram(image) - histogram(other)).sum() / 2)


def sample_distance(image: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of two pictures over what independent ones of their contrast would have; 0 for flat ones."""
    independent = np.sqrt(image.var((0, 1, 2)).mean() + other.var((0, 1, 2)).mean())
    return float(np.sqrt(np.mean((image - other) ** 2)) / independent) if independent else 0.0


def detail_kept(image: np.ndarray, photograph: np.ndarray) -> float:
    """:func:`experiments.common.detail_correlation`; 0 for the flat picture that a failed training gives."""
    flat = np.ptp(image, axis=(1, 2)).max() == 0
    return 0.0 if flat else detail_correlation(image, photograph)


def coarse_correlation(image: np.ndarray, other: np.ndarray, share: float = 1 / 32) -> float:
    """Pearson's correlation of the colours of two pictures whose detail a Gaussian blur has taken away.

    Args:
        image: ``(1, h, w, 3)``.
        other: likewise.
        share: the blur's deviation over the pictures' height.

    Returns:
        0 where a picture is flat.
    """
    if np.ptp(image) == 0 or np.ptp(other) == 0:
        return 0.0
    sigma = share * image.shape[1]
    blurred = [ndimage.gaussian_filter(x[0], (sigma, sigma, 0)).ravel() for x in (image, other)]
    return float(np.corrcoef(blurred[0], blurred[1])[0, 1])


def own_statistics(generator: Generator, image: np.ndarray, seed: int = 0) -> np.ndarray:
    """The picture with mean and variance of its own activations, as in training at batches of one.

    Args:
        generator: with batch normalisation.
        image: ``(1, h, w, 3)``.
        seed: of the noise; that of :func:`nstjax.inference.stylize` for the same seed.
    """
    return np.asarray(_train_mode(generator.config, generator.variables, image, jax.random.key(seed)))


@partial(jax.jit, static_argnums=0)
def _train_mode(config: GeneratorConfig, variables: Any, image: jax.Array, key: jax.Array) -> jax.Array:
    noise = draw_noise(config, key[None], *image.shape[1:3])
    return generate_train(config, variables, image, noise)[0].clip(0, 1)
