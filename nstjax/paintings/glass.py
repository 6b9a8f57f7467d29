"""The motif "glass": a leaded window with light behind it, streaked panes and dark lead lines."""

import numpy as np
from scipy import ndimage
from scipy.spatial import Voronoi

from nstjax.paintings.canvas import Canvas
from nstjax.paintings.colors import ramp, rgb, smooth, vary

# Each palette: the flower from center to rim, the air around it, the ground below.
PALETTES = (
    (
        rgb("fff3b0", "ffc93c", "f28b1e", "d9361e", "8c1230"),
        rgb("0f2f7a", "1b55b0", "2f8fd0", "6fc4d8", "3a6fc8"),
        rgb("0b5a44", "1f8a4a", "74b043", "c6c83c", "0f6f74"),
    ),
    (
        rgb("fff0d0", "ffb3a0", "ec5a8c", "a5247c", "561a70"),
        rgb("0e5a6a", "1a8f94", "5fc4b0", "b0e0b8", "227a9a"),
        rgb("28307a", "4a4ab0", "7c6fd0", "c08fd8", "243c8c"),
    ),
    (
        rgb("f4ffe0", "b8e8a0", "4cb89a", "1a7f9c", "17427f"),
        rgb("7a1a1a", "b8321f", "e0702a", "f4ac44", "c44a34"),
        rgb("4a1a4a", "7f2a5a", "b04a5a", "d88a5a", "5a2a6a"),
    ),
)
LEAD = rgb("14130f")[0]


def glass(canvas: Canvas, rng: np.random.Generator, look: int) -> np.ndarray:
    """Paint the window with palette ``look`` (modulo their number); return ``(height, width, 3)``."""
    flower, air, ground = PALETTES[look % len(PALETTES)]
    w, h = canvas.w, canvas.h
    middle = np.array([w * rng.uniform(0.42, 0.58), h * rng.uniform(0.36, 0.44)])
    points, tints = _panes(canvas, rng, middle, flower, air, ground)
    # Points far outside bound the Voronoi cells at the border.
    frame = np.array([(-3 * w, h / 2), (4 * w, h / 2), (w / 2, -3 * h), (w / 2, 4 * h)])
    diagram = Voronoi(np.concatenate([points, frame]))
    for i, tint in enumerate(tints):
        region = diagram.regions[diagram.point_region[i]]
        if -1 not in region and region:
            canvas.polygons(diagram.vertices[region][None].clip(-2000, 5 * max(w, h)), tint[None], 0.0)
    ridges = [diagram.vertices[ridge] for ridge in diagram.ridge_vertices if -1 not in ridge]
    cames = np.array(ridges).clip(-2000, 5 * max(w, h))
    canvas.lines(cames, np.repeat(LEAD[None], len(cames), 0), 6.4, 0.6)
    canvas.lines(cames, np.repeat(LEAD[None] * 1.6, len(cames), 0), 3.0, 1.0)
    image, lead = canvas.develop()
    return _shine(canvas, rng, image, lead, middle)


def _panes(
    canvas: Canvas,
    rng: np.random.Generator,
    middle: np.ndarray,
    flower: np.ndarray,
    air: np.ndarray,
    ground: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centers ``(n, 2)`` in units and colors ``(n, 3)`` of the panes.

    They form a large flower around ``middle``, small flowers, air and ground.
    """
    w, h = canvas.w, canvas.h
    points, tints = [middle[None]], [flower[:1]]
    petals, radius, ring = int(rng.integers(7, 11)), 0.0, 0
    turn = rng.uniform(0, 6.3)
    while ring < 5:
        gap = 30 + 9 * ring
        radius += gap
        count = petals * (1 if ring < 1 else 2)
        angle = turn + 2 * np.pi * (np.arange(count) + 0.5 * (ring % 2)) / count
        points.append(middle + (radius - 0.3 * gap) * np.stack([np.cos(angle), np.sin(angle)], -1))
        tone = 0.12 + ring / 5 + 0.1 * (-1.0) ** np.arange(count)
        tints.append(ramp(flower, np.broadcast_to(tone, count).clip(0, 1)))
        ring += 1
    centers = [(middle, radius + 4)]
    for _ in range(60):  # small flowers on the ground
        spot = np.array([rng.uniform(0.04, 0.96) * w, rng.uniform(0.74, 0.95) * h])
        if min(np.hypot(*(spot - c)) - r for c, r in centers) < 52:
            continue
        angle = rng.uniform(0, 6) + 2 * np.pi * np.arange(6) / 6
        points += [spot[None], spot + 22 * np.stack([np.cos(angle), np.sin(angle)], -1)]
        tints += [flower[:1], np.repeat(flower[rng.integers(1, 4)][None], 6, 0)]
        centers.append((spot, 34))
    rings = []
    reach = radius + 10
    while reach < np.hypot(w, h):  # further rings around the flower, with random offsets
        count = round(2 * np.pi * reach / 52)
        angle = turn + 2 * np.pi * (np.arange(count) + rng.random()) / count
        rings.append(
            middle + reach * np.stack([np.cos(angle), np.sin(angle)], -1) + rng.normal(0, 5, (count, 2))
        )
        reach += 44
    rest = np.concatenate(rings)
    rest = rest[(np.abs(rest / [w, h] - 0.5) < 0.6).all(-1)]
    rest = rest[np.min([np.hypot(*(rest - c).T) - r for c, r in centers], 0) > 14]
    hill = h * 0.72 + 30 * np.sin(rest[:, 0] / 130 + turn)
    # Rays: the tone of the air depends on the direction from the flower.
    around = np.arctan2(*(rest - middle).T)
    ray = 0.5 + 0.5 * np.sin(around * petals + turn) + rng.normal(0, 0.13, len(rest))
    land = 0.5 + 0.4 * np.sin(rest[:, 0] / 60 + rest[:, 1] / 25) + rng.normal(0, 0.2, len(rest))
    tint = np.where((rest[:, 1] > hill)[:, None], ramp(ground, land.clip(0, 1)), ramp(air, ray.clip(0, 1)))
    return np.concatenate([*points, rest]), vary(rng, np.concatenate([*tints, tint]), 0.12, 0.035)


def _shine(
    canvas: Canvas, rng: np.random.Generator, image: np.ndarray, lead: np.ndarray, middle: np.ndarray
) -> np.ndarray:
    """Add streaks in a random direction to each pane, bubbles, and light from behind; return the image."""
    pane = canvas.numbers() + 1
    kinds = rng.uniform(0, np.pi, int(pane.max()) + 1).astype(np.float32)[pane]
    shifts = rng.uniform(0, 500, int(pane.max()) + 1).astype(np.float32)[pane]
    x, y = canvas.pixels()
    wave = 5 * canvas.noise(rng, 45)
    along = x * np.cos(kinds) + y * np.sin(kinds) + shifts + wave
    across = -x * np.sin(kinds) + y * np.cos(kinds) + shifts + 1.6 * wave
    lattice = rng.standard_normal((256, 256), np.float32)
    streaks = np.zeros_like(along)
    for cell, stretch, height in ((12, 5, 0.5), (5, 8, 0.55), (2.3, 6, 0.5)):
        place = np.stack([across / cell, along / (cell * stretch)])
        streaks += height * ndimage.map_coordinates(lattice, place, order=1, mode="grid-wrap")
    body = (1 - lead / max(float(lead.max()), 1e-6)).clip(0, 1)
    far = np.hypot(x - middle[0], y - middle[1])
    light = 0.8 + 0.42 * np.exp(-((far / 300) ** 2)) + 0.1 * canvas.noise(rng, 130)
    # Denser glass is darker and more saturated; thinner glass lets more white light through.
    glow = image ** (1.0 - 0.32 * streaks)[..., None].clip(0.35, 2.2)
    glow = glow * (light + 0.1 * streaks)[..., None]
    seeds = smooth(2.9, 3.4, canvas.noise(rng, 3.6))
    glow = glow + (0.4 * seeds * light)[..., None]
    image = image + (glow - image) * body[..., None]
    # Light spills over the lead lines, and their round backs have a slight highlight.
    scale = min(canvas.height / canvas.h, canvas.width / canvas.w)
    halo = np.stack([ndimage.gaussian_filter(image[..., i], 7 * scale) for i in range(3)], -1)
    image = image + 0.16 * halo
    return canvas.lit(image, ndimage.gaussian_filter(lead, 1.2 * scale), 0.9)
