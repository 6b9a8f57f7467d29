"""The motif "dots": a pointillist summer landscape of dots in pure colors."""

import numpy as np

from nstjax.paintings.canvas import Canvas
from nstjax.paintings.colors import ramp, rgb, smooth, vary
from nstjax.pixels import LUMA

# Each palette: the sky from zenith to horizon, hills far to near, grass from shade to light, leaves, sun.
PALETTES = (
    (
        rgb("3f78c4", "7fb0dd", "c9dcdc", "f8dca4"),
        rgb("8f9fca", "6f86b8", "5a8a86"),
        rgb("2b4f5c", "3f8a4a", "96bc3f", "f0dc5a"),
        rgb("1f3a5c", "2c6a52", "5d9a3f", "d9c846"),
        rgb("fff0b0")[0],
    ),
    (
        rgb("4a4a9c", "9a78b8", "ec9a86", "fbd27a"),
        rgb("a983b5", "7a62a4", "584b8c"),
        rgb("33306a", "7a4a72", "c46a4a", "f2b04c"),
        rgb("2a2558", "5a3a6c", "a8524a", "ec9c40"),
        rgb("fff2b4")[0],
    ),
    (
        rgb("5a9cb4", "9fcabf", "e3e6c0", "fbe6b4"),
        rgb("a3b8c4", "7ba3a0", "6f9a6a"),
        rgb("4a6a4c", "a48f3c", "dcb848", "fbe690"),
        rgb("3c4a4c", "7f5c34", "cf8a34", "f2c850"),
        rgb("fff8d4")[0],
    ),
)


def dots(canvas: Canvas, rng: np.random.Generator, look: int) -> np.ndarray:
    """Paint the landscape with palette ``look`` (modulo their number); return ``(height, width, 3)``."""
    color, detail = _landscape(canvas, rng, PALETTES[look % len(PALETTES)])
    canvas.prime(color.mean((0, 1)))
    starts = canvas.scatter(rng, 22)  # underpainting: broad strokes, warmer than the dots above them
    angle = 0.5 * canvas.noise(rng, 120, sketch=True)
    paths = canvas.trace(angle, starts, np.full(len(starts), 60.0))
    canvas.strokes(
        rng, paths, np.full(len(starts), 27.0), 0.8 * canvas.at(color, starts) + [0.1, 0.07, 0.02], load=0.3
    )
    for spacing, radius, spread, share in ((9.5, 6.2, 0.2, 1.0), (6.9, 4.1, 0.33, 1.0), (5.6, 2.5, 0.5, 0.8)):
        centers = canvas.scatter(rng, spacing)
        fine = canvas.at(detail, centers)
        centers = centers[rng.random(len(centers)) < share * (0.5 + 0.5 * fine)]
        n = len(centers)
        paint = _divide(rng, canvas.at(color, centers + rng.normal(0, 1.3, (n, 2))), spread)
        radii = radius * rng.uniform(0.65, 1.2, n) * (1.12 - 0.3 * canvas.at(detail, centers))
        canvas.dots(centers, radii, paint, rng.uniform(0.4, 1.0, n))
    image, _ = canvas.develop(impasto=0.55)
    weave = canvas.noise(rng, 1.7, 1.2)
    return image * (1 + 0.02 * weave[..., None])


def _divide(rng: np.random.Generator, colors: np.ndarray, spread: float) -> np.ndarray:
    """Return more saturated colors with hues on either side of the given ones, and some complements.

    The lightness stays about the same.

    Args:
        rng: random generator.
        colors: ``(n, 3)``.
        spread: standard deviation of the rotation of the hue in radians.
    """
    light = (colors @ np.array(LUMA))[:, None]
    chroma = colors - light
    swing = rng.normal(0, spread, (len(colors), 1))
    turned = chroma * np.cos(swing) + np.cross(chroma, np.full(3, 3**-0.5)) * np.sin(swing)
    turned *= rng.uniform(0.95, 1.45, (len(colors), 1))
    opposite = rng.random(len(colors)) < 0.11 * spread
    turned[opposite] *= -0.8
    return vary(rng, light * rng.uniform(0.89, 1.11, (len(colors), 1)) + turned, 0.05, 0.035)


def _landscape(canvas: Canvas, rng: np.random.Generator, palette: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Return sketches of the landscape's colors, and of its detail: dots are smallest where it is 1."""
    sky, hills, grass, leaves, sun = palette
    x, y = canvas.grid()
    w, h = canvas.w, canvas.h
    horizon, shore = h * rng.uniform(0.4, 0.47), h * rng.uniform(0.66, 0.72)
    side = rng.choice((-1, 1))
    sun_x, sun_y = w * (0.5 + side * rng.uniform(0.08, 0.26)), horizon - h * rng.uniform(0.1, 0.2)
    far = np.hypot(x - sun_x, y - sun_y)

    def heaven(height: np.ndarray) -> np.ndarray:
        return ramp(sky, (height / horizon).clip(0, 1))

    clouds = canvas.clouds(rng, 95, 2.4)
    color = heaven(y + 26 * canvas.clouds(rng, 120, 2))
    puff = smooth(0.35, 1.5, clouds)[..., None] * (0.75 * smooth(0, 0.3, y / horizon))[..., None]
    color = color * (1 - puff) + (0.4 * sky[3] + 0.56) * puff
    shine = (0.98 * smooth(40, 27, far) + 0.5 * np.exp(-far / 95)).clip(0, 1)[..., None]
    color = color * (1 - shine) + sun * shine
    detail = 0.25 + 0.5 * shine[..., 0]

    # The water reflects the sky, upside down and broken into horizontal flecks.
    depth = ((y - horizon) / (shore - horizon)).clip(0, 1)
    flecks = canvas.noise(rng, 7, 6, sketch=True)
    water = heaven(horizon * (1 - 0.9 * depth) + 55 * flecks * depth) * 0.86 + np.array([0, 0.02, 0.05])
    path = np.exp(-(((x - sun_x + 10 * flecks) / (16 + 46 * depth)) ** 2)) * (0.55 + 0.3 * flecks)
    water = water + (sun - water) * path.clip(0, 0.95)[..., None]
    wet = y > horizon
    color = np.where(wet[..., None], water, color)
    detail = np.where(wet, 0.55, detail)

    for i, tint in enumerate(hills):
        rise = (62 - 17 * i) * (0.55 + 0.45 * np.sin(x / (75 + 35 * i) + rng.uniform(0, 6)))
        rise = rise + 7 * canvas.noise(rng, 40, sketch=True)[:1]
        inside = (y > horizon + 5 * i - rise) & (y < horizon + 5 * i)
        lit = tint * (1 + 0.14 * canvas.noise(rng, 16, sketch=True)[..., None])
        mirror = (y >= horizon) & (y < horizon + 0.7 * rise + 4 * flecks)
        color = np.where(mirror[..., None], 0.55 * color + 0.38 * tint, color)
        color = np.where(inside[..., None], lit, color)

    color, detail = _boats(canvas, rng, color, detail, horizon, shore)
    bank = shore + 26 * np.sin(x / w * 3 + rng.uniform(0, 6)) + 5 * canvas.noise(rng, 30, sketch=True)[:1]
    meadow = 0.62 + 0.26 * canvas.clouds(rng, 60, 3) - 0.35 * ((y - bank) / (h - shore)).clip(0, 1)
    ground = ramp(grass, meadow.clip(0, 1))
    bloom = canvas.noise(rng, 6, 1.3, sketch=True) + 0.5 * canvas.noise(rng, 60, 2, sketch=True) > 1.75
    petals = vary(rng, np.array([sun, (0.9, 0.3, 0.3), (0.95, 0.62, 0.75)]), 0.03, 0.05)
    kind = (canvas.noise(rng, 50, sketch=True) * 1.2 + 1).clip(0, 2).astype(int)
    ground = np.where(bloom[..., None], petals[kind], ground)
    land = y > bank
    color = np.where(land[..., None], ground, color)
    detail = np.where(land, 0.75, detail)

    for tree in range(3):  # two on one side, a small one on the other
        left = side if tree < 2 else -side
        size = (135, 95, 62)[tree] * rng.uniform(0.9, 1.1)
        tx = w * 0.5 - left * w * (0.40, 0.25, 0.40)[tree] + rng.normal(0, 12)
        foot = shore + (70, 30, 12)[tree]
        ty = foot - size * 1.75
        trunk = (
            (np.abs(x - tx - 5 * np.sin(y / 40 + tree)) < size * (0.05 + 0.05 * smooth(foot - 40, foot, y)))
            & (y > ty)
            & (y < foot)
        )
        color = np.where(trunk[..., None], leaves[0] * 0.8 + [0.1, 0.03, 0.04], color)
        shadow = ((x - tx + left * -size * 0.6) / (1.3 * size)) ** 2 + ((y - foot) / (0.16 * size)) ** 2 < 1
        color = np.where((shadow & land)[..., None], 0.5 * color + 0.45 * grass[0], color)
        for _ in range(16):
            turn, out = rng.uniform(0, 6.3), 0.62 * size * np.sqrt(rng.random())
            bx, by = tx + out * np.cos(turn), ty + 0.9 * out * np.sin(turn)
            radius = size * rng.uniform(0.24, 0.4)
            ragged = radius * (1 + 0.22 * canvas.noise(rng, 12, sketch=True))
            inside = np.hypot(x - bx, y - by) < ragged
            light = 0.45 + 0.5 * ((x - bx) * side * 0.5 - (y - by)) / radius + 0.12 * rng.normal()
            color = np.where(inside[..., None], ramp(leaves, light.clip(0, 1)), color)
            detail = np.where(inside, 0.85, detail)
    return color, detail


def _boats(
    canvas: Canvas,
    rng: np.random.Generator,
    color: np.ndarray,
    detail: np.ndarray,
    horizon: float,
    shore: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Add sailing boats and their reflections in the water; return the sketches of color and detail."""
    x, y = canvas.grid()
    for nearness in np.sort(rng.uniform(0.2, 0.8, 3)):
        bx, by = canvas.w * rng.uniform(0.22, 0.82), horizon + (shore - horizon) * nearness
        tall = 45 + 110 * nearness
        wind = rng.choice((-1, 1))
        for mirror in (1, -1):
            up = (by - y) * mirror / tall
            across = (x - bx) * wind / tall + (0.05 * np.sin(y / 3.5) if mirror < 0 else 0)
            main = (up > 0.12) & (up < 1) & (across > 0) & (across < 0.42 * (1 - up))
            jib = (up > 0.12) & (up < 0.86) & (across < -0.03) & (across > -0.3 * (0.86 - up))
            hull = (up > -0.02) & (up < 0.1) & (np.abs(across) < 0.36 + 0.9 * up)
            white = np.array((1.0, 0.96, 0.84)) - across[..., None] * np.array((0.15, 0.3, 0.2))
            red = np.array((0.93, 0.5, 0.24)) + across[..., None] * np.array((0.2, 0.3, 0.2))
            for shape, paint in ((main, white), (jib, red), (hull, np.array((0.16, 0.13, 0.28)))):
                share = 0.92 if mirror > 0 else 0.5
                color = np.where(shape[..., None], color * (1 - share) + paint * share, color)
                detail = np.where(shape, 1.0, detail)
    return color, detail
