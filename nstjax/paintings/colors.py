"""Palettes of colors and their random variations."""

import numpy as np


def rgb(*codes: str) -> np.ndarray:
    """``(n, 3)`` in [0, 1] of hexadecimal codes."""
    return np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes]) / 255


def ramp(colors: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Colours ``(..., 3)`` of tones in [0, 1], evenly spread over ``(n, 3)``."""
    place = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(tone, place, colors[:, i]) for i in range(3)], -1)


def vary(rng: np.random.Generator, colors: np.ndarray, light: float = 0.05, hue: float = 0.03) -> np.ndarray:
    """Colours ``(n, 3)``, each a little lighter or darker, warmer or colder."""
    shape = (len(colors), 1)
    colors = colors * (1 + rng.normal(0, light, shape)) + rng.normal(0, light / 3, shape)
    return (colors + rng.normal(0, hue, colors.shape)).clip(0, 1)


def smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 over ``high``, smoothly between."""
    t = ((x - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)
