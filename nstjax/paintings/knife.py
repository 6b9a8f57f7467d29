"""The motif "knife": a flowering meadow in broad slabs of thick paint, as with a palette knife."""

import numpy as np

from nstjax.paintings.canvas import Canvas
from nstjax.paintings.colors import ramp, rgb, smooth, vary

# Each palette: sky from top to horizon, woods from far to near, meadow from dark to light, flowers.
PALETTES = (
    (
        rgb("5f9fb8", "a9ccc6", "efe6c8", "f6cf9a"),
        rgb("6f93a0", "3f6f6a", "1f4a44"),
        rgb("1f4030", "3f6f34", "86a03c", "d8cf6a"),
        rgb("d8261e", "f2542a", "f58fa0", "fff0e0", "b01030"),
    ),
    (
        rgb("c86a4a", "eba05e", "f8d48c", "fbe9c0"),
        rgb("a56a74", "6a4560", "3a2a48"),
        rgb("38304c", "6a5a3c", "b08a3c", "e8c868"),
        rgb("5a3a9c", "8a5fc8", "c8a0e0", "fff0d0", "3a2a7c"),
    ),
    (
        rgb("34507a", "6f8fb0", "c0cdd0", "f0e0c8"),
        rgb("5a7490", "34506a", "1c3044"),
        rgb("1c3a3c", "3a6456", "7f9a68", "d0cf90"),
        rgb("f6c21e", "fbe05a", "f08a1e", "ffffff", "d85a1e"),
    ),
    (
        rgb("e0b8b8", "f0d4c0", "f8ead0", "fbf2dc"),
        rgb("a8a8b4", "7f8a94", "4f5f6a"),
        rgb("34503c", "6f8a54", "b0b878", "ece4a8"),
        rgb("e8487c", "f590ac", "fbd0d8", "ffffff", "a81e54"),
    ),
)


def knife(canvas: Canvas, rng: np.random.Generator, look: int) -> np.ndarray:
    """Paint the meadow with palette ``look`` (modulo their number); return ``(height, width, 3)``."""
    sky, woods, meadow, flowers = PALETTES[look % len(PALETTES)]
    x, y = canvas.grid()
    w, h = canvas.w, canvas.h
    horizon = h * rng.uniform(0.36, 0.44)
    clouds = canvas.clouds(rng, 150, 1.8)
    color = ramp(sky, (y / horizon + 0.22 * clouds * smooth(0, 0.5, 1 - y / h)).clip(0, 1))
    puff = smooth(0.5, 1.4, canvas.clouds(rng, 130, 2))[..., None]
    color = color + (0.5 * sky[2] + 0.48 - color) * 0.8 * puff
    canvas.prime(sky[1])
    angle = 0.5 * canvas.noise(rng, 110, sketch=True)
    for i, tint in enumerate(woods):
        top = horizon + 12 * i - (60 - 12 * i) * (0.5 + 0.5 * np.sin(x / (110 - 22 * i) + rng.uniform(0, 6)))
        top = top - 16 * np.abs(canvas.noise(rng, 34 - 8 * i, sketch=True)[:1])
        inside = y > top
        light = (
            1.05
            + 0.3 * canvas.noise(rng, 24, sketch=True)[..., None]
            - 0.004 * (y - top).clip(0, 90)[..., None]
        )
        color = np.where(inside[..., None], tint * light, color)
        angle = np.where(inside, np.pi / 2 + 1.1 * canvas.noise(rng, 26, sketch=True), angle)
    depth = ((y - horizon) / (h - horizon)).clip(0, 1)
    field = y > horizon + 20
    lie = 0.8 - 0.62 * depth**0.8 + 0.2 * canvas.clouds(rng, 70, 3)
    bend = w * rng.uniform(0.3, 0.7) + 110 * np.sin(depth * 3 + rng.uniform(0, 6)) * depth
    path = np.exp(-(((x - bend) / (10 + 85 * depth)) ** 2)) * rng.uniform(0.35, 0.8)
    ground = ramp(meadow, lie.clip(0, 1))
    ground = ground + (0.55 * sky[2] + 0.4 * meadow[3] - ground) * path[..., None]
    # Distant flowers are only stripes of color.
    drifts = smooth(0.1, 0.9, canvas.clouds(rng, 26, 5)) * smooth(0.02, 0.1, depth) * smooth(0.75, 0.3, depth)
    stripe = (canvas.noise(rng, 40, 4, sketch=True) + 1.2).clip(0, 2).astype(int)
    ground = ground + (0.9 * flowers[stripe] - ground) * 0.8 * drifts[..., None]
    color = np.where(field[..., None], ground, color)
    angle = np.where(
        field,
        (1 - depth) * 0.15 * canvas.noise(rng, 60, sketch=True) + 1.35 * smooth(0.25, 0.75, depth),
        angle,
    )
    angle = np.where(field & (path > 0.3), 0.1, angle)

    for spacing, width, length, bristles in ((24, 36, 66, 15), (14, 17, 38, 11), (9.5, 8.5, 22, 7)):
        starts = canvas.scatter(rng, spacing)
        if spacing < 20:  # few fine slabs in the sky
            share = np.where(starts[:, 1] > horizon - 60, 0.85, 0.36 if bristles > 7 else 0.1)
            starts = starts[rng.random(len(starts)) < share]
        _slabs(
            canvas,
            rng,
            starts,
            canvas.at(angle, starts) + rng.normal(0, 0.3, len(starts)),
            width,
            length,
            bristles,
            color,
        )
    _flowers(canvas, rng, flowers, meadow, horizon)
    image, _ = canvas.develop(impasto=1.3)
    return image


def _slabs(
    canvas: Canvas,
    rng: np.random.Generator,
    starts: np.ndarray,
    turn: np.ndarray,
    width: float,
    length: float,
    bristles: int,
    color: np.ndarray,
) -> None:
    """Draw straight strokes. Each blends two colors of a sketch, taken at its center and near it.

    Args:
        canvas: the canvas.
        rng: random generator.
        starts: centers of the strokes, ``(n, 2)`` in units.
        turn: directions of the strokes, ``(n,)`` in radians.
        width: nominal width in units; a stroke has 0.6 to 1.2 times this.
        length: nominal length in units; a stroke has 0.6 to 1.3 times this.
        bristles: number of bristles of each stroke.
        color: sketch of the colors.
    """
    n = len(starts)
    reach = np.linspace(-0.5, 0.5, 4)[None, :, None] * (length * rng.uniform(0.6, 1.3, n))[:, None, None]
    paths = starts[:, None] + reach * np.stack([np.cos(turn), np.sin(turn)], -1)[:, None]
    first = vary(rng, canvas.at(color, starts), 0.1, 0.03)
    second = vary(rng, canvas.at(color, starts + rng.normal(0, 0.5 * width, (n, 2))), 0.16, 0.03)
    canvas.strokes(rng, paths, width * rng.uniform(0.6, 1.2, n), first, second, bristles, 0.06, 0.16)


def _flowers(
    canvas: Canvas, rng: np.random.Generator, flowers: np.ndarray, meadow: np.ndarray, horizon: float
) -> None:
    """Draw stems and petals, small and dense in the distance, large and loose in front."""
    w, h = canvas.w, canvas.h
    count = round(520 * w / 768)
    depth = np.sort(rng.random(count) ** 0.8)
    drift = rng.uniform(0, 6)
    places = np.stack([rng.uniform(0, w, count), horizon + 26 + (h - horizon - 30) * depth**1.5], -1)
    dense = 0.5 + 0.5 * np.sin(places[:, 0] / 110 + 3 * depth + drift)
    keep = rng.random(count) < 0.35 + 0.65 * dense
    places, depth = places[keep], depth[keep]
    kinds = (rng.random(len(places)) ** 1.6 * len(flowers)).astype(int)
    order = np.linspace(-0.5, 0.5, 4)[None, :, None]
    for low in np.linspace(0, 0.9, 10):  # from back to front
        part = (depth >= low) & (depth < low + 0.1)
        spots, size = places[part], 3.5 + 24 * depth[part] ** 2.2
        n = len(spots)
        if not n:
            continue
        stems = (
            spots[:, None]
            + (order + 0.5) * np.stack([rng.normal(0, 0.35, n) * size, 2.6 * size], -1)[:, None]
        )
        tone = ramp(meadow, rng.uniform(0.1, 0.9, n))
        canvas.strokes(rng, stems, 1.5 + 0.16 * size, vary(rng, tone, 0.1), None, 3, 0.1)
        for petal in range(6):
            turn = petal * 2.4 + rng.normal(0, 0.35, n)
            way = np.stack([np.cos(turn), 0.72 * np.sin(turn)], -1)
            middles = spots + way * (0.5 * size * rng.uniform(0.5, 1.1, n))[:, None]
            lean = turn + rng.normal(0, 0.5, n)
            blade = np.stack([np.cos(lean), np.sin(lean)], -1)[:, None]
            paths = middles[:, None] + order * (1.05 * size)[:, None, None] * blade
            base = flowers[kinds[part]] * (0.8 + 0.3 * (way[:, 1:] < 0.1))
            second = vary(rng, flowers[(kinds[part] + rng.integers(0, 2, n)) % len(flowers)], 0.12, 0.03)
            canvas.strokes(rng, paths, 0.85 * size, vary(rng, base, 0.1, 0.03), second, 9, 0.07, 0.12, 1.3)
        big = size > 8
        hearts = (
            np.repeat(spots[big], 3, 0)
            + rng.normal(0, 1, (3 * int(big.sum()), 2)) * np.repeat(0.12 * size[big], 3)[:, None]
        )
        m = len(hearts)
        canvas.dots(
            hearts,
            np.repeat(0.14 * size[big], 3),
            vary(rng, np.repeat(meadow[:1] * 0.6, m, 0), 0.2, 0.04),
            np.full(m, 1.2),
        )
