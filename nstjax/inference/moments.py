"""Mean and variance of an array that is computed in parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclasses.dataclass(frozen=True)
class ChannelMoments:
    """Count, mean and sum of squared deviations of a set of pixels, per channel.

    Attributes:
        count: number of pixels.
        mean: ``(c,)`` float64.
        squares: sum of squared deviations from the mean, ``(c,)`` float64.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """The mean squared deviation, ``(c,)``, as the norms of generators use it; not the unbiased estimate."""
        return self.squares / self.count


def merge_moments(one: ChannelMoments | None, other: ChannelMoments) -> ChannelMoments:
    """Compute the moments of two parts together (Chan, Golub and LeVeque 1979, STAN-CS-79-773, eq. 2.1).

    Unlike ``E[x²] − E[x]²``, this does not subtract two large numbers.

    Args:
        one: moments of the first part; None if it is empty.
        other: moments of the second part.
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
    """Compute the mean and the sum of squared deviations of each channel of a part, for :func:`merge_moments`.

    Args:
        x: ``(1, h, w, c)``.
        skip: number of rows at the beginning that do not count.

    Returns:
        Two arrays ``(c,)``, float32 or the dtype of ``x`` if it is wider.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    counts = jnp.arange(x.shape[1]) >= skip
    rows = jnp.where(counts, 1.0, 0.0)[None, :, None]
    # Each row is averaged first, because sums of few numbers have smaller rounding errors.
    mean = (x.mean(2) * rows).sum(1) / rows.sum()
    return mean[0], (jnp.square(x - mean[:, None, None]).sum(2) * rows).sum(1)[0]


def on_host(count: int, found: tuple[Array, Array]) -> ChannelMoments:
    """Convert the result of :func:`deviations` to float64 on the host.

    Args:
        count: number of pixels of the part.
        found: mean and sum of squared deviations, ``(c,)`` each.
    """
    mean, squares = jax.device_get(found)
    return ChannelMoments(count, mean.astype(np.float64), squares.astype(np.float64))
