"""Mean and variance of an array that is computed in parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclasses.dataclass(frozen=True)
class ChannelMoments:
    """Count, mean and sum of squared deviations of some pixels, by channel.

    Attributes:
        count: of the pixels.
        mean: ``(c,)`` float64.
        squares: sum of squared deviations from the mean, ``(c,)`` float64.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """``(c,)``; of all pixels, not the unbiased estimate: as the norms of generators have it."""
        return self.squares / self.count


def merge_moments(one: ChannelMoments | None, other: ChannelMoments) -> ChannelMoments:
    """Moments of two parts together (Chan, Golub and LeVeque 1979, STAN-CS-79-773, eq. 2.1).

    No two large numbers are subtracted, as they are in ``E[x²] − E[x]²``.
    """
    if one is None:
        return other
    count = one.count + other.count
    step = other.mean - one.mean
    return ChannelMoments(
        count,
        one.mean + step * (other.count / count),
        one.squares + other.squares + step**2 * (one.count * other.count / count),
    )


def deviations(x: Array, skip: Array | int = 0) -> tuple[Array, Array]:
    """Mean and sum of squared deviations of the channels of a part, in float32, for :func:`merge_moments`.

    Args:
        x: ``(1, h, w, c)``.
        skip: rows in front that do not count.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    counts = jnp.arange(x.shape[1]) >= skip
    rows = jnp.where(counts, 1.0, 0.0)[None, :, None]
    # A row at a time: sums of few numbers lose less.
    mean = (x.mean(2) * rows).sum(1) / rows.sum()
    return mean[0], (jnp.square(x - mean[:, None, None]).sum(2) * rows).sum(1)[0]


def on_host(count: int, found: tuple[Array, Array]) -> ChannelMoments:
    """Return the result of :func:`deviations` in float64."""
    mean, squares = jax.device_get(found)
    return ChannelMoments(count, mean.astype(np.float64), squares.astype(np.float64))
