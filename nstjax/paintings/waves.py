"""The motif "waves": a rough sea as a woodblock print, with flat bands of color, dark contours and foam."""

import numpy as np

from nstjax.paintings.canvas import Canvas
from nstjax.paintings.colors import ramp, rgb, smooth

# Each palette: the sky from top to horizon, the sea from dark to pale, foam, contour, sun.
PALETTES = (
    (
        rgb("c9b48a", "e4d3a8", "f1e6c8", "eadab4"),
        rgb("16305a", "24508a", "4a7fa8", "8fb3bd"),
        rgb("f4ecd6")[0],
        rgb("101c38")[0],
        rgb("c8452c")[0],
    ),
    (
        rgb("3f5d7d", "8fa6ad", "e3c9a4", "eaa77c"),
        rgb("1d2f4f", "2f5a74", "5b8d92", "a5bfae"),
        rgb("f6e8d0")[0],
        rgb("151a2c")[0],
        rgb("e2583a")[0],
    ),
    (
        rgb("d9a441", "ecc77a", "f3dfae", "f0d8a6"),
        rgb("0f3b3f", "1c6460", "55938a", "a6c2a6"),
        rgb("f7efd8")[0],
        rgb("0c2226")[0],
        rgb("a8321f")[0],
    ),
    (
        rgb("2a2440", "594a70", "b98b94", "ecc9a8"),
        rgb("1c1d45", "3a4587", "7780b5", "b9b3c9"),
        rgb("f3e6da")[0],
        rgb("110f26")[0],
        rgb("f0c25a")[0],
    ),
)


def waves(canvas: Canvas, rng: np.random.Generator, look: int) -> np.ndarray:
    """Paint the sea with palette ``look`` (modulo their number); return ``(height, width, 3)``."""
    sky, sea, foam, ink, sun = PALETTES[look % len(PALETTES)]
    h = canvas.h
    _sky(canvas, rng, sky, ink, sun)
    tops = np.linspace(0.46, 0.93, 6)
    for i, top in enumerate(tops):
        near = i / (len(tops) - 1)
        _row(canvas, rng, top * h, near, sea, foam, ink)
    image, relief = canvas.develop()
    # The grain of the wood is visible in the flat ink, and specks of paper show through it.
    grain = canvas.noise(rng, 2.2, 40) + 0.7 * canvas.noise(rng, 5, 30)
    specks = smooth(1.5, 2.4, canvas.noise(rng, 2.0) + 0.5 * canvas.noise(rng, 40))
    paper = 0.022 * canvas.noise(rng, 1.5, 2) + 0.02 * canvas.noise(rng, 9)
    image = image * (1 + (0.045 * grain * relief + paper)[..., None])
    return image + (foam - image) * (0.3 * specks * relief)[..., None]


def _sky(canvas: Canvas, rng: np.random.Generator, sky: np.ndarray, ink: np.ndarray, sun: np.ndarray) -> None:
    """Draw bands of graded color, a sun, stretched clouds and a distant mountain."""
    w, h = canvas.w, canvas.h
    y = np.arange(0, 0.7 * h, 3.0)
    color = ramp(sky, (y / (0.62 * h)).clip(0, 1)) * (1 + rng.normal(0, 0.012, (len(y), 1)))
    canvas.polygons(np.array([[(0, v), (w, v), (w, v + 4), (0, v + 4)] for v in y]), color, 0.6)
    side = rng.choice((-1, 1))
    cx, cy, radius = (
        w * (0.5 + side * rng.uniform(0.14, 0.3)),
        h * rng.uniform(0.15, 0.24),
        rng.uniform(46, 70),
    )
    t = np.linspace(0, 2 * np.pi, 90)
    disc = np.stack([cx + radius * np.cos(t), cy + radius * np.sin(t)], -1)
    canvas.polygons(disc[None], sun[None], 1.0)
    px, py, base = w * (0.5 - side * rng.uniform(0.1, 0.3)), h * rng.uniform(0.25, 0.32), 0.56 * h
    run = np.linspace(-1, 1, 61)
    ridge = py + (base - py) * np.abs(run) ** 0.8
    mountain = np.stack([px + 250 * run, ridge], -1)
    canvas.polygons(mountain[None], (0.55 * sky[0] + 0.45 * ink)[None], 1.0)
    snow = np.abs(run) < 0.3
    jag = np.stack(
        [
            px + 250 * run[snow],
            ridge[snow]
            + rng.uniform(6, 16, snow.sum())
            + 22 * (np.arange(snow.sum()) % 3 == 1) * (1 - np.abs(run[snow]) / 0.3),
        ],
        -1,
    )[::-1]
    canvas.polygons(np.concatenate([mountain[snow], jag])[None], sky[2:3] * 1.02, 0.4)
    canvas.lines(mountain[None], ink[None], 2.4)
    for _ in range(9):
        x, y0, length = rng.uniform(0, w), h * rng.uniform(0.05, 0.4), rng.uniform(60, 220)
        s = np.linspace(-1, 1, 40)
        thick = rng.uniform(3, 7) * np.sqrt(1 - s**2)
        middle = y0 + 3 * np.sin(3 * s + x)
        outline = np.concatenate(
            [
                np.stack([x + length * s, middle - thick], -1),
                np.stack([x + length * s, middle + thick], -1)[::-1],
            ]
        )
        canvas.polygons(outline[None], sky[rng.integers(1, 4)][None] * 1.03, 0.5)
        canvas.lines(np.concatenate([outline, outline[:1]])[None], (0.45 * ink + 0.55 * sky[0])[None], 1.1)


def _row(
    canvas: Canvas,
    rng: np.random.Generator,
    base: float,
    near: float,
    sea: np.ndarray,
    foam: np.ndarray,
    ink: np.ndarray,
) -> None:
    """Draw a row of waves across the image: bands, contours and foam.

    Args:
        canvas: the canvas.
        rng: random generator.
        base: height of the water line in units from the top.
        near: nearness of the row, from 0 (far) to 1.
        sea: colors of the sea, ``(4, 3)``.
        foam: color of the foam, ``(3,)``.
        ink: color of the contours, ``(3,)``.
    """
    w, h = canvas.w, canvas.h
    pitch = 120 + 190 * near
    t = np.arange(-1.5 * pitch, w + 1.5 * pitch, 1.6)
    phase = 2 * np.pi * (t / pitch + rng.random()) + 0.6 * np.sin(t / pitch * 1.7 + rng.uniform(0, 6))
    number = np.floor((phase + np.pi) / (2 * np.pi)).astype(int)
    height = rng.uniform(0.55, 1.25, number.max() - number.min() + 1)
    height = height[number - number.min()]
    crest = ((1 + np.cos(phase)) / 2) ** 1.6
    lift = (38 + 95 * near) * crest * height
    lean = 0.30 * pitch * crest**2.5 * height
    wobble = 3 * np.sin(t / 17) * near

    def curve(depth: float) -> np.ndarray:
        """Return the line of the surface, or a smoother line ``depth`` units below it."""
        fade = np.exp(-depth / (60 + 60 * near))
        return np.stack([t - lean * fade**2.2, base - lift * fade + depth + wobble], -1)

    bands = [
        (0, 3),
        (7, 2),
        (13, 1),
        (26, 3),
        (31, 1),
        (50, 0),
        (80, 2),
        (86, 1),
        (120, 0),
        (170, 1),
        (200, 0),
    ]
    for depth, tone in bands:
        line = curve(depth * (0.55 + 0.65 * near))
        notch = 1 + 5 * near
        if depth:  # tongues from each band into the next
            line[:, 1] += (
                notch * (1.2 + np.sin(t / (6 + 5 * near) + depth)) * rng.uniform(0.7, 1.5) * (0.3 + crest)
            )
        closed = np.concatenate([line, [[w + pitch, h + 40], [-pitch, h + 40]]])
        color = sea[tone] * (0.94 + 0.1 * near) + (1 - near) * 0.05
        canvas.polygons(closed[None], color[None], 1.0 - 0.2 * tone)
        canvas.lines(line[None], ink[None], 1.2 + 0.9 * near)
    for deep in np.arange(30, 210, 7.5):  # dashed engraved lines
        line = curve(deep * (0.55 + 0.65 * near))
        start = int(rng.integers(0, len(t)))
        for _ in range(4):
            start = int(start + rng.integers(60, 200)) % len(t)
            piece = line[start : start + int(rng.integers(20, 70))]
            if len(piece) > 3:
                canvas.lines(piece[None], (sea[3] if rng.random() < 0.6 else sea[2])[None], 1.3)
    top = curve(0)
    _foam(canvas, rng, top, crest * height, near, sea, foam, ink)


def _foam(
    canvas: Canvas,
    rng: np.random.Generator,
    top: np.ndarray,
    crest: np.ndarray,
    near: float,
    sea: np.ndarray,
    foam: np.ndarray,
    ink: np.ndarray,
) -> None:
    """Draw foam: scallops along the crests, claws that hook forward from them, and spray.

    Args:
        canvas: the canvas.
        rng: random generator.
        top: points of the surface, ``(n, 2)`` in units.
        crest: height of the wave at these points, ``(n,)``, about 0 to 1.
        near: nearness of the row, from 0 (far) to 1.
        sea: colors of the sea, ``(4, 3)``.
        foam: color of the foam, ``(3,)``.
        ink: color of the contours, ``(3,)``.
    """
    size = 3.2 + 5.2 * near
    strong = np.flatnonzero(crest > 0.3)
    if not len(strong):
        return
    picked = strong[:: max(2, int(size * 0.36))]
    force = crest[picked]
    centers = top[picked] + rng.normal(0, 0.35 * size, (len(picked), 2)) + [0, 0.2 * size]
    radii = size * (0.1 + 0.85 * force) * rng.uniform(0.55, 1.25, len(picked))
    outline, white, shade = (
        np.repeat(c[None], len(picked), 0) for c in (ink, foam, 0.6 * foam + 0.4 * sea[3])
    )
    flat = np.full(len(picked), 0.15)
    # Claws: hooks of shrinking scallops over the front of the wave.
    hooks = picked[(force > 0.55) & (rng.random(len(picked)) < 0.5)]
    hook_centers, hook_radii = [], []
    for index in hooks:
        length, curl = size * rng.uniform(2.0, 5.0) * crest[index], rng.uniform(1.2, 2.6)
        s = np.linspace(0, 1, 9)
        direction = np.pi + rng.normal(0, 0.35) - 0.5 - curl * s
        step = np.stack([np.cos(direction), -np.sin(direction)], -1) * (length / 8)
        hook_centers.append(top[index] + np.cumsum(step, 0))
        hook_radii.append(size * (0.5 - 0.36 * s) * rng.uniform(0.8, 1.2))
    edge = 1.0 + 0.8 * near
    if hook_centers:
        claws, claw_radii = np.concatenate(hook_centers), np.concatenate(hook_radii)
        n = len(claws)
        canvas.dots(claws, claw_radii + edge, np.repeat(ink[None], n, 0), np.full(n, 0.5))
    canvas.dots(centers, radii + edge, outline, flat + 0.4)
    canvas.dots(centers, radii, white, flat)
    if hook_centers:
        canvas.dots(claws, claw_radii, np.repeat(foam[None], n, 0), np.full(n, 0.1))
    below = centers + size * np.array((0.3, 0.55))
    canvas.dots(below, 0.42 * radii, shade, flat + 0.2)
    canvas.dots(below - [0.5, 0.8], 0.3 * radii, white, flat)
    spray = np.repeat(top[picked], 2, 0)
    reach = np.repeat(force, 2)[:, None]
    spray = (
        spray + rng.normal(0, 1, spray.shape) * [14, 9] * reach * (0.5 + near) - [8, 22 * near + 8] * reach
    )
    keep = rng.random(len(spray)) < 0.75
    n = int(keep.sum())
    canvas.dots(
        spray[keep],
        rng.uniform(0.8, 2.4, n) * (0.6 + 0.5 * near),
        np.repeat(foam[None], n, 0),
        np.full(n, 0.1),
    )
