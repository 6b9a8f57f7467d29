"""Color palettes, random variations of colors, and interpolation."""

import numpy as np


def rgb(*codes: str) -> np.ndarray:
    """Return the colors of hexadecimal codes such as ``"3f78c4"``: ``(n, 3)`` in [0, 1]."""
    return np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes]) / 255


def ramp(colors: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Return the colors ``(..., 3)`` for tones ``(...)`` in [0, 1], by linear interpolation.

    Args:
        colors: ``(n, 3)``, at tones evenly spaced from 0 to 1.
        tone: the tones; values outside [0, 1] give the first or last color.
    """
    place = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(tone, place, colors[:, i]) for i in range(3)], -1)


def vary(rng: np.random.Generator, colors: np.ndarray, light: float = 0.05, hue: float = 0.03) -> np.ndarray:
    """Vary each of the colors ``(n, 3)`` at random; return them clipped to [0, 1].

    Args:
        rng: random generator.
        colors: ``(n, 3)`` in [0, 1].
        light: standard deviation of the relative brightness.
        hue: standard deviation of the noise added to each channel.
    """
    shape = (len(colors), 1)
    colors = colors * (1 + rng.normal(0, light, shape)) + rng.normal(0, light / 3, shape)
    return (colors + rng.normal(0, hue, colors.shape)).clip(0, 1)


def smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """Interpolate smoothly (cubic) from 0 at ``low`` to 1 at ``high``; constant outside that range.

    ``low`` may be greater than ``high``: the result then decreases with ``x``.
    """
    t = ((x - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)
