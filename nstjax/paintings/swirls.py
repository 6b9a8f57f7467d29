"""The motif "swirls": a windy night with thick strokes along eddies, and lights with glowing rings."""

import numpy as np

from nstjax.paintings.canvas import CELL, Canvas
from nstjax.paintings.colors import ramp, rgb, smooth, vary

# Each palette: the sky from dark to light, the lights from rim to core, the land from dark to light.
PALETTES = (
    (
        rgb("0b1433", "14275a", "1d4288", "2f6bb0", "5b9ac4", "a9cdd2", "e3e6c4"),
        rgb("7fae9f", "d9c255", "f4b321", "fbe38a", "fff8d8"),
        rgb("070d1f", "10233a", "1a3f4a", "2c5f55", "6a8a4e"),
    ),
    (
        rgb("1a0f33", "38195c", "5c2a7c", "8d4593", "c2708f", "e9a685", "f6d9a8"),
        rgb("c2708f", "f08c4b", "f9b93f", "fde79a", "fffbe6"),
        rgb("0d0a1c", "1e1a3a", "34305a", "4b4a76", "8a6f8c"),
    ),
    (
        rgb("04201f", "0a3a3c", "11595a", "1f8078", "56a88c", "a3cfa0", "e8ecbc"),
        rgb("7fc4a0", "e6d05c", "f59a34", "fbd57c", "fff6d2"),
        rgb("0c0d12", "1b1c26", "372b33", "5b3d38", "9a6a45"),
    ),
    (
        rgb("1b1210", "3d1f1c", "6d2c22", "a4452a", "d1733a", "e8a85c", "f6dda2"),
        rgb("d1733a", "8fc0b0", "c9e2c6", "f4f0cc", "fffdf0"),
        rgb("0a1016", "12222c", "1e3a44", "2f565a", "5f8478"),
    ),
)


def swirls(canvas: Canvas, rng: np.random.Generator, look: int) -> np.ndarray:
    """Paint the night.

    Args:
        canvas: the canvas.
        rng: source of the random numbers.
        look: number of the palette, taken modulo their number.

    Returns:
        ``(height, width, 3)``. Values are not clipped to [0, 1].
    """
    sky, lamp, land = PALETTES[look % len(PALETTES)]
    x, y = canvas.grid()
    w, h = canvas.w, canvas.h
    stream = 1.0 * y + 26 * np.sin(x / 120 + rng.uniform(0, 6)) + 14 * canvas.noise(rng, 130, sketch=True)
    # Two large eddies that turn in opposite directions. The strokes follow the lines of equal ``stream``.
    middle = np.array([rng.uniform(0.38, 0.62) * w, rng.uniform(0.32, 0.44) * h])
    lean = rng.uniform(-0.5, 0.5)
    for side, radius in ((-1, 95), (1, 80)):
        cx, cy = middle + side * 105 * np.array([np.cos(lean), np.sin(lean)])
        stream += side * 265 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))
    dy, dx = np.gradient(stream, CELL)
    flow_x, flow_y = dy, -dx
    glow = np.zeros_like(x)
    lights = _lights(canvas, rng, middle)
    for i, (cx, cy) in enumerate(lights):
        radius = 60 if i == 0 else 15 + 24 * rng.random() ** 1.7
        far = np.hypot(x - cx, y - cy) + 1e-3
        around = smooth(1.9, 0.9, far / radius)
        turn = 3.0 if i % 2 else -3.0
        flow_x = flow_x * (1 - around) + turn * around * (y - cy) / far
        flow_y = flow_y * (1 - around) - turn * around * (x - cx) / far
        rings = 0.86 + 0.14 * np.cos(far / radius * 7)
        glow = np.maximum(glow, np.exp(-((far / (1.05 * radius)) ** 1.25)) * rings)
    angle = np.arctan2(flow_y, flow_x)
    bands = np.sin(stream / 15 + 0.8 * canvas.noise(rng, 90, sketch=True))
    tone = 0.36 + 0.17 * bands + 0.1 * canvas.clouds(rng, 110) + 0.22 * (y / h - 0.3)
    color = ramp(sky, tone.clip(0, 1))
    lit = smooth(0.04, 0.36, glow)[..., None]
    color = color * (1 - lit) + ramp(lamp, (1.12 * glow**1.25).clip(0, 1)) * lit

    # Hills, from far to near: each is darker at its foot, and its strokes follow the ridge.
    under = np.zeros_like(x)
    for i, level in enumerate((0.74, 0.81, 0.89)):
        ridge = h * level + 34 * np.sin(x / rng.uniform(90, 170) + rng.uniform(0, 6)) + 9 * np.sin(x / 37 + i)
        ridge += 10 * canvas.noise(rng, 60, sketch=True)[:1]
        inside, below = y > ridge, (y - ridge).clip(0)
        slope = np.arctan(np.gradient(ridge[0], CELL))[None]
        angle = np.where(inside, slope + 0.25 * np.sin(below / 18 + i), angle)
        furrow = 0.5 + 0.5 * np.sin(below / (7 + 2 * i) + x / 60)
        value = (
            0.78
            - 0.16 * i
            - 0.0045 * below
            + 0.22 * (furrow - 0.5)
            + 0.1 * canvas.noise(rng, 30, sketch=True)
        )
        color = np.where(inside[..., None], ramp(land, value.clip(0, 1)), color)
        under = np.where(inside, 1.0, under)

    color, angle, tree = _poplars(canvas, rng, color, angle, land, np.sign(lights[0][0] - w / 2))
    glow, under = np.where(tree, 0, glow), np.where(tree, 1.0, under)
    canvas.prime(sky[1])

    layers = ((19, 15, 90, 7), (10.5, 10, 52, 6), (8, 6, 30, 4))
    for layer, (spacing, width, length, bristles) in enumerate(layers):
        starts = canvas.scatter(rng, spacing)
        if layer == 2:  # fine strokes only near lights and on land
            keep = (
                canvas.at(glow, starts) + 0.5 * canvas.at(under, starts) + rng.uniform(0, 0.6, len(starts))
                > 0.62
            )
            starts = starts[keep]
        n = len(starts)
        if layer:  # bright dots in the centers of the lights, around which the strokes turn
            hearts = np.array(lights)
            canvas.dots(
                hearts, np.full(len(hearts), 4.5), np.repeat(lamp[3:4], len(hearts), 0), np.ones(len(hearts))
            )
        paths = canvas.trace(angle, starts, length * rng.uniform(0.7, 1.3, n))
        near = starts + rng.normal(0, 5, (n, 2))
        first = vary(rng, canvas.at(color, starts), 0.1, 0.025)
        second = vary(rng, canvas.at(color, near), 0.14, 0.035)
        canvas.strokes(rng, paths, width * rng.uniform(0.7, 1.25, n), first, second, bristles, 0.09)
    _windows(canvas, rng, lamp, tree)
    image, _ = canvas.develop(impasto=1.0)
    return image


def _poplars(
    canvas: Canvas,
    rng: np.random.Generator,
    color: np.ndarray,
    angle: np.ndarray,
    land: np.ndarray,
    side: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw flame-shaped trees in front of the sky, on the side away from the moon.

    Args:
        canvas: the canvas.
        rng: random generator.
        color: sketch of the colors.
        angle: sketch of the directions of strokes, in radians.
        land: colors of the land, from dark to light.
        side: side of the moon, -1 for left and 1 for right.

    Returns:
        Sketches of the colors, of the directions, and of a mask that is True on trees.
    """
    x, y = canvas.grid()
    tree = np.zeros(x.shape, bool)
    for i in range(int(rng.integers(2, 4))):
        foot = np.array([0.5 - side * (0.37 - 0.075 * i) * rng.uniform(0.92, 1.06), 0.98]) * (
            canvas.w,
            canvas.h,
        )
        tall = canvas.h * (0.66, 0.44, 0.30)[i] * rng.uniform(0.85, 1.1)
        up = ((foot[1] - y) / tall).clip(0, 1.02)
        sway = 9 * np.sin(up * 5 + i) * up
        half = tall * 0.105 * np.sqrt(up * 1.25 + 0.05) * (1 - up).clip(0) ** 0.62
        half = half * (
            1.35 + 0.28 * np.sin(y / 13 + 3 * np.sin(y / 31)) + 0.2 * canvas.noise(rng, 18, sketch=True)
        )
        off = (x - foot[0] - sway) / (half + 1e-3)
        inside = (np.abs(off) < 1) & (half > 1)
        tone = 0.3 + 0.28 * np.sin(off * 6 + y / 21) + side * 0.2 * off
        color = np.where(inside[..., None], 0.8 * ramp(land, tone.clip(0, 0.8)), color)
        lean = -np.pi / 2 + 0.55 * np.sin(y / 26 + 2 * off) + 0.25 * off
        angle = np.where(inside, lean, angle)
        tree |= inside
    return color, angle, tree


def _windows(canvas: Canvas, rng: np.random.Generator, lamp: np.ndarray, tree: np.ndarray) -> None:
    """Draw some lit windows on the hills, each above a dimmer glow."""
    n = 16
    spots = np.stack([rng.uniform(0.06, 0.94, n) * canvas.w, rng.uniform(0.83, 0.94, n) * canvas.h], -1)
    spots[n // 2 :] = spots[: n - n // 2] + rng.normal(0, 11, (n - n // 2, 2)) * [1, 0.5]
    spots = spots[~canvas.at(tree, spots)]
    n = len(spots)
    run = np.linspace(-0.5, 0.5, 4)[None, :, None]
    for width, length, tone in ((10, 22, 0.25), (6.5, 8, 0.85)):
        paths = spots[:, None] + run * np.array([length, 0])
        paint = vary(rng, ramp(lamp[1:], np.full(n, tone)), 0.08, 0.03)
        canvas.strokes(rng, paths, np.full(n, width), paint * (0.62 if tone < 0.5 else 1), None, 5, 0.1, 0.2)


def _lights(canvas: Canvas, rng: np.random.Generator, middle: np.ndarray) -> list[np.ndarray]:
    """Return positions of the moon (first) and the stars, away from each other and from the eddies."""
    side = 0.86 if rng.random() < 0.5 else 0.14
    places = [np.array([side * canvas.w, 0.15 * canvas.h])]
    for _ in range(200):
        place = rng.uniform((0.03, 0.05), (0.97, 0.62)) * (canvas.w, canvas.h)
        clear = min(np.hypot(*(place - other)) for other in places) > 112
        behind = (
            place[1] > 0.28 * canvas.h and (place[0] / canvas.w - 0.5) * (side - 0.5) < -0.07
        )  # reserved for the trees
        if clear and not behind and np.hypot(*((place - middle) / (1.55, 1))) > 140:
            places.append(place)
        if len(places) > 10 * canvas.w / 768:
            break
    return places
