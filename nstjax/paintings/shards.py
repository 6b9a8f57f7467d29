"""The motif "shards": a cubist still life of overlapping planes, each fading from one sharp edge."""

import numpy as np

from nstjax.paintings.canvas import CELL, Canvas
from nstjax.paintings.colors import rgb, vary

# Each palette: planes, ground, edges.
PALETTES = (
    (
        rgb("e2662c", "2f6f9f", "f2c14e", "f4ead0", "173f5f", "c43a3a", "3fa08c", "efa96a"),
        rgb("8fa6a8")[0],
        rgb("14182a")[0],
    ),
    (
        rgb("6f8fae", "aec3cf", "e9e4d4", "34506e", "c58f6c", "8a9a90", "f0cfae", "23304a"),
        rgb("93a4ac")[0],
        rgb("12172a")[0],
    ),
    (
        rgb("7f9a4e", "d7cf8c", "3d5a45", "efe3c0", "a5562f", "c9963f", "5f7f7a", "2a332c"),
        rgb("a39a70")[0],
        rgb("191812")[0],
    ),
    (
        rgb("c89b5a", "8c7350", "e6d3a6", "5f6a66", "a9a796", "6b4a2e", "d9b878", "3c4648"),
        rgb("9a8d74")[0],
        rgb("1d1a18")[0],
    ),
)


def shards(canvas: Canvas, rng: np.random.Generator, look: int) -> np.ndarray:
    """Paint the planes with palette ``look`` (modulo their number); return ``(height, width, 3)``."""
    planes, ground, ink = PALETTES[look % len(PALETTES)]
    x, y = canvas.pixels()
    grid_x, grid_y = canvas.grid()
    pixel = canvas.h / canvas.height
    color = (ground * (1 + 0.1 * canvas.clouds(rng, 160, sketch=False))[..., None]).astype(np.float32)
    angle = np.full(grid_x.shape, rng.uniform(-0.9, 0.9), np.float32)
    axes = rng.uniform(0, np.pi) + np.array([0, 0.35, 1.2, 1.57, 2.1])  # few directions, for unity
    edges: list[tuple[np.ndarray, float]] = []
    for center, size in _places(canvas, rng):
        corners = _plane(rng, center, size, rng.choice(axes))
        rows, columns = _window(corners, pixel, color)
        turn = _lie(rng, corners)
        tint = vary(rng, planes[rng.integers(len(planes))][None], 0.08, 0.02)[0]
        kind, phase = rng.random(), rng.uniform(0, 6)
        edges.append((corners, size))
        px, py = x[:, columns], y[rows]
        if not px.size or not py.size:
            continue
        inside, rise = _cover(px, py, corners)
        fade = (rise / (0.8 * size)).clip(0, 1)
        alpha = (inside / pixel + 0.5).clip(0, 1) * (0.97 - 0.7 * fade)
        shade = 0.66 + 0.85 * fade + _pattern(kind, phase, px * np.cos(turn) + py * np.sin(turn), rise)
        color[rows, columns] += alpha[..., None] * (tint * shade[..., None] - color[rows, columns])
        rows, columns = _window(corners, CELL, angle)
        inside, rise = _cover(grid_x[rows, columns], grid_y[rows, columns], corners)
        angle[rows, columns] = np.where((inside > 0) & (rise < 0.7 * size), turn, angle[rows, columns])
    objects = _objects(canvas, rng)
    for middle, radius, turn in objects:
        dx, dy = x - middle[0], y - middle[1]
        disc = np.hypot(dx, dy)
        half = np.cos(np.arctan2(dy, dx) * (1 if turn > 3 else 2) + turn) > 0
        part = ((radius - disc) / pixel + 0.5).clip(0, 1) * np.where(half, 0.7 - 0.5 * disc / radius, 0.12)
        color += part[..., None] * ((ink if turn > 3 else planes.max(0)) - color)

    # Brushwork: strokes of gray paint, whose deviations from mid-gray modulate the planes.
    canvas.prime(np.full(3, 0.5))
    for spacing, width, length, bristles in ((14, 15, 44, 8), (8.5, 7.5, 24, 5)):
        starts = canvas.scatter(rng, spacing)
        n = len(starts)
        hatch = canvas.at(angle, starts) + rng.normal(0, 0.09, n)
        reach = np.linspace(-0.5, 0.5, 4)[None, :, None] * (length * rng.uniform(0.6, 1.25, n))[:, None, None]
        paths = starts[:, None] + reach * np.stack([np.cos(hatch), np.sin(hatch)], -1)[:, None]
        gray = np.full((n, 3), 0.5)
        first, second = vary(rng, gray, 0.055, 0.018), vary(rng, gray, 0.08, 0.024)
        canvas.strokes(rng, paths, width * rng.uniform(0.7, 1.2, n), first, second, bristles, 0.055)
    brush, relief = canvas.develop()
    color = color * (0.1 + 1.8 * brush) + 0.25 * (brush - 0.5)
    color = canvas.lit(color, relief, 0.6)
    lines = Canvas(canvas.height, canvas.width)
    _contours(lines, rng, edges, objects, ink, planes)
    drawn, _ = lines.develop(impasto=0.4)
    color = color * (1 - lines.coverage())[..., None] + drawn  # ``drawn`` is black where bare
    return color * (1 + 0.025 * canvas.noise(rng, 1.6)[..., None])


def _window(corners: np.ndarray, cell: float, raster: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of a raster, with cells of ``cell`` units, that a plane may touch."""
    low = np.floor(corners.min(0) / cell - 1).clip(0).astype(int)
    high = np.ceil(corners.max(0) / cell + 1).clip(0).astype(int)
    return slice(low[1], min(high[1], raster.shape[0])), slice(low[0], min(high[0], raster.shape[1]))


def _lie(rng: np.random.Generator, corners: np.ndarray) -> float:
    """Return the direction of a plane's hatching in radians: along its first side, or turned from it."""
    side = corners[1] - corners[0]
    return float(np.arctan2(side[1], side[0]) + rng.choice((0, 0, 0.8, 1.3)))


def _pattern(kind: float, phase: float, along: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Return the pattern of a plane: wood, ruled paper, checks, dots, or none (for most planes).

    Args:
        kind: uniform random number in [0, 1] that selects the pattern.
        phase: phase of the pattern in radians.
        along: coordinate of each pixel along the hatching, in units.
        rise: distance of each pixel from the first side, in units.

    Returns:
        Values to add to the shade of the plane, of a shape that broadcasts to the pixels.
    """
    if kind < 0.12:
        return 0.2 * np.sin(rise / 1.9 + 2.4 * np.sin(along / 37 + phase) + np.sin(along / 11))
    if kind < 0.2:
        return -0.36 * (np.sin(rise / 1.75 + phase) > 0.72)
    if kind < 0.25:
        return 0.17 * np.sign(np.sin(rise / 4 + phase) * np.sin(along / 4))
    if kind < 0.3:
        return 0.3 * (np.sin(rise / 2.2) * np.sin(along / 2.2) > 0.55)
    return np.zeros((1, 1))


def _places(canvas: Canvas, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Return centers and sizes of the planes in units.

    Large ones are everywhere, smaller ones near the middle.
    """
    area = canvas.w * canvas.h / 768**2
    found = [(spot, rng.uniform(170, 320)) for spot in canvas.scatter(rng, 125)]
    for count, low, high, pull in ((38, 100, 200, 0.27), (40, 50, 110, 0.2), (16, 28, 55, 0.17)):
        for _ in range(round(count * area)):
            spot = np.array([canvas.w, canvas.h]) * (0.5 + pull * rng.normal(0, 1, 2))
            found.append((spot, rng.uniform(low, high)))
    return found


def _plane(rng: np.random.Generator, center: np.ndarray, size: float, axis: float) -> np.ndarray:
    """Return the corners of a convex quadrilateral, longer along an axis: ``(4, 2)`` in units.

    Args:
        rng: random generator.
        center: center in units, ``(2,)``.
        size: approximate size in units.
        axis: direction of the longer side in radians.
    """
    long, short = size * rng.uniform(0.7, 1.3), size * rng.uniform(0.25, 0.7)
    box = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [long / 2, short / 2]
    box[2:, 0] *= rng.uniform(0.2, 1.1)
    box[:, 0] += rng.uniform(-0.3, 0.3) * box[:, 1]
    if rng.random() < 0.5:
        box[:, 1] *= -1
    c, s = np.cos(axis), np.sin(axis)
    return box @ np.array([[c, s], [-s, c]]) + center


def _cover(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of points into a convex polygon, in units.

    Args:
        x: x coordinates of the points.
        y: y coordinates of the points, of a shape that broadcasts with ``x``.
        corners: corners of the polygon, ``(p, 2)``.

    Returns:
        The distance from the nearest side, negative outside, and the distance from the first side.
    """
    inward = []
    center = corners.mean(0)
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        nx, ny = a[1] - b[1], b[0] - a[0]
        norm = np.hypot(nx, ny) + 1e-6
        sign = 1 if nx * (center[0] - a[0]) + ny * (center[1] - a[1]) > 0 else -1
        inward.append(sign * (nx * (x - a[0]) + ny * (y - a[1])) / norm)
    return np.minimum.reduce(inward), inward[0]


def _objects(canvas: Canvas, rng: np.random.Generator) -> list[tuple[np.ndarray, float, float]]:
    """Return center, radius and angle of the round objects of the still life: a sound hole, rims, a plate."""
    found = []
    for _ in range(6):
        middle = np.array([canvas.w, canvas.h]) * (0.5 + rng.normal(0, 0.17, 2))
        found.append((middle, rng.uniform(26, 78), rng.uniform(0, 6.3)))
    return found


def _contours(
    canvas: Canvas, rng: np.random.Generator, edges: list, objects: list, ink: np.ndarray, planes: np.ndarray
) -> None:
    """Draw dark lines with a dry brush: along first sides, as arcs, and as the strings of an instrument."""
    lines, widths = [], []
    s = np.linspace(0, 1, 16)[:, None]
    for corners, size in edges:
        if rng.random() < 0.4:
            continue
        for k in (0, 1) if rng.random() < 0.25 else (0,):
            a, b = corners[k], corners[(k + 1) % 4]
            over = rng.uniform(-0.04, 0.12)
            lines.append(a + (b - a) * (s * (1 + 2 * over) - over) + rng.normal(0, 0.35, (16, 2)))
            widths.append(rng.uniform(1.6, 3.4) * (0.7 + size / 400))
    for middle, radius, turn in objects:
        for ring in (1.0, 1.12) if rng.random() < 0.6 else (1.0,):
            t = turn + np.linspace(0, rng.uniform(1.6, 5.5), 16)
            lines.append(middle + ring * radius * np.stack([np.cos(t), np.sin(t)], -1))
            widths.append(rng.uniform(2.4, 4.5))
    lean = rng.uniform(0.7, 1.3)
    start = np.array([canvas.w * rng.uniform(0.3, 0.42), canvas.h * rng.uniform(0.25, 0.35)])
    for i in range(6):
        a = start + i * 7.5 * np.array([np.sin(lean), -np.cos(lean)])
        b = a + canvas.h * 0.42 * np.array([np.cos(lean), np.sin(lean)])
        lines.append(a + (b - a) * s)
        widths.append(1.9)
    n = len(lines)
    colors = vary(rng, np.repeat(ink[None], n, 0), 0.2, 0.012)
    canvas.strokes(rng, np.array(lines), np.array(widths), colors, colors + 0.12, 4, 0.12, 0.1)
    # A few highlights beside the lines.
    picked = rng.choice(n, n // 9, replace=False)
    shifted = np.array(lines)[picked] + rng.uniform(2, 4, (len(picked), 1, 1))
    light = np.repeat(planes.max(0, keepdims=True) * 0.3 + 0.68, len(picked), 0)
    canvas.strokes(rng, shifted, np.full(len(picked), 3.0), vary(rng, light, 0.04, 0.015), None, 3, 0.05, 0.3)
