"""The canvas of the generated style images: marks drawn in order, rendered as color and relief.

Lengths are in units of 1/768 of the shorter side, so that an image has the same composition at any size. A
mark is drawn as its number into an integer raster, which has a higher resolution than a small image; later
marks cover earlier ones. :meth:`Canvas.develop` maps the numbers to colors and paint thickness, averages them
down to pixels, and shades the relief with light from the upper left.
"""

import math

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

UNITS = 768  # units across the shorter side
_LONGEST = 4  # for a larger ratio of the sides, marks are larger, so that their number is bounded
DRAWN = 1400  # smallest size of the raster across the shorter side in pixels, for smooth edges
CELL = 2  # units between the points of a sketch
LIGHT = (-0.6, -0.8)  # direction towards the light, x and y


class Canvas:
    """An empty canvas.

    A *sketch* is an array of values on a coarse grid over the canvas, with points ``CELL`` units apart (see
    :meth:`grid`).

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.

    Attributes:
        height: height of the image in pixels.
        width: width of the image in pixels.
        h: height in units.
        w: width in units.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        side = max(min(height, width), max(height, width) / _LONGEST)
        self.h, self.w = height / side * UNITS, width / side * UNITS
        self._zoom = max(1, math.ceil(DRAWN / side))
        self._scale = side / UNITS * self._zoom
        self._image = Image.new("I", (width * self._zoom, height * self._zoom))
        self._draw = ImageDraw.Draw(self._image)
        self._colors = [np.zeros((1, 3), np.float32)]
        self._relief = [np.zeros(1, np.float32)]
        self._marks = 1

    def _register(self, colors: np.ndarray, relief: np.ndarray) -> range:
        """Assign numbers to new marks.

        Args:
            colors: ``(n, 3)`` in [0, 1].
            relief: thickness of the paint, ``(n,)``.
        """
        first, self._marks = self._marks, self._marks + len(colors)
        self._colors.append(np.asarray(colors, np.float32))
        self._relief.append(np.asarray(relief, np.float32))
        return range(first, self._marks)

    def _pixels(self, points: np.ndarray) -> list[list[float]]:
        return (points * self._scale).reshape(len(points), int(np.prod(points.shape[1:]))).tolist()

    def _line_width(self, width: float) -> int:
        return max(1, round(width * self._scale))

    def prime(self, color: np.ndarray) -> None:
        """Set the color ``(3,)`` of the bare canvas, which is visible where no mark is drawn."""
        self._colors[0] = np.asarray(color, np.float32)[None]

    def polygons(self, points: np.ndarray, colors: np.ndarray, relief: float = 0.5) -> None:
        """Fill polygons.

        Args:
            points: corners, ``(n, p, 2)``, x and y in units.
            colors: ``(n, 3)`` in [0, 1].
            relief: thickness of the paint.
        """
        numbers = self._register(colors, np.full(len(colors), relief))
        for number, outline in zip(numbers, self._pixels(points), strict=True):
            self._draw.polygon(outline, fill=number)

    def lines(self, points: np.ndarray, colors: np.ndarray, width: float, relief: float = 0.5) -> None:
        """Draw polylines.

        Args:
            points: ``(n, p, 2)``, x and y in units.
            colors: ``(n, 3)`` in [0, 1].
            width: width of all lines in units.
            relief: thickness of the paint.
        """
        numbers = self._register(colors, np.full(len(colors), relief))
        thick = self._line_width(width)
        for number, line in zip(numbers, self._pixels(points), strict=True):
            self._draw.line(line, fill=number, width=thick, joint="curve" if thick > 4 else None)

    def strokes(
        self,
        rng: np.random.Generator,
        paths: np.ndarray,
        widths: np.ndarray,
        colors: np.ndarray,
        second: np.ndarray | None = None,
        bristles: int = 6,
        streak: float = 0.05,
        ragged: float = 0.12,
        load: float = 1.0,
    ) -> None:
        """Draw brush strokes in order, each as a bundle of bristles.

        Args:
            rng: random generator of the bristles.
            paths: center lines, ``(n, p, 2)``, x and y in units.
            widths: ``(n,)`` in units.
            colors: ``(n, 3)`` in [0, 1].
            second: color of the stroke's other side, ``(n, 3)``; the two colors blend across the stroke. By
                default the same color.
            bristles: number of bristles of each stroke.
            streak: standard deviation of the bristles' relative brightness.
            ragged: largest random fraction of the path that a bristle leaves out at each end; the outermost
                bristles leave out ``ragged / 2`` more.
            load: factor on the thickness of the paint.
        """
        n, p, _ = paths.shape
        across = np.linspace(-0.5, 0.5, bristles)
        tangent = np.gradient(paths, axis=1)
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-6
        bell = np.sqrt(np.sin(np.linspace(0.25, np.pi - 0.25, p)))  # narrower at both ends of the stroke
        offset = widths[:, None, None] * across[None, :, None] * bell
        hairs = paths[:, None] + offset[..., None] * normal[:, None]
        # Each bristle covers its own part of the path.
        first = rng.uniform(0, ragged, (n, bristles, 1)) + ragged * np.abs(across)[None, :, None]
        last = 1 - rng.uniform(0, ragged, (n, bristles, 1)) - ragged * np.abs(across)[None, :, None]
        at = (first + (last - first) * np.linspace(0, 1, p)) * (p - 1)
        low = at.astype(int).clip(0, p - 2)
        part = (at - low)[..., None]
        rows, hair = np.ogrid[:n, :bristles]
        rows, hair = rows[..., None], hair[..., None]
        hairs = (1 - part) * hairs[rows, hair, low] + part * hairs[rows, hair, low + 1]

        mix = (across + 0.5)[None, :, None] + rng.normal(0, 0.15, (n, bristles, 1))
        other = colors if second is None else second
        paint = colors[:, None] + (other - colors)[:, None] * mix.clip(0, 1)
        paint = paint * (1 + rng.normal(0, streak, (n, bristles, 1))) + rng.normal(
            0, streak / 4, (n, bristles, 3)
        )
        # The paint is thicker at the sides of the stroke, and uneven in between.
        thick = load * (0.35 + 0.45 * (2 * np.abs(across)) ** 3 + rng.uniform(0, 0.55, (n, bristles)))
        numbers = self._register(paint.reshape(-1, 3).clip(0, 1), thick.reshape(-1))
        spacing = widths / max(1, bristles - 1)
        # If bristles are much finer than a pixel, fewer and wider ones are drawn, so small images are fast.
        every = int(np.clip(0.5 / (spacing.mean() * self._scale / self._zoom), 1, 3)) if n else 1
        shown = np.flatnonzero(np.arange(n * bristles) % bristles % every == (every - 1) // 2)
        lines = self._pixels(hairs.reshape(n * bristles, p, 2)[shown])
        thickness = np.ceil(np.repeat(spacing, bristles)[shown] * every * self._scale + 0.6).astype(int)
        draw = self._draw.line
        for number, line, wide in zip(shown.tolist(), lines, thickness.tolist(), strict=True):
            draw(line, fill=numbers[number], width=wide)

    def dots(self, centers: np.ndarray, radii: np.ndarray, colors: np.ndarray, relief: np.ndarray) -> None:
        """Draw round dots in order.

        Args:
            centers: ``(n, 2)``, x and y in units.
            radii: ``(n,)`` in units.
            colors: ``(n, 3)`` in [0, 1].
            relief: thickness of the paint, ``(n,)``.
        """
        numbers = self._register(colors, relief)
        corners = self._pixels(np.concatenate([centers - radii[:, None], centers + radii[:, None]], 1))
        for number, box in zip(numbers, corners, strict=True):
            self._draw.ellipse(box, fill=number)

    def noise(
        self, rng: np.random.Generator, cell: float, stretch: float = 1.0, sketch: bool = False
    ) -> np.ndarray:
        """Return smooth noise with a standard deviation of about 1.

        Args:
            rng: random generator.
            cell: vertical distance of the random values in units.
            stretch: horizontal distance as a multiple of ``cell``.
            sketch: whether the result is a sketch.

        Returns:
            ``(height, width)``, or the shape of :meth:`grid` for a sketch.
        """
        rows, columns = self.h / cell, self.w / (cell * stretch)
        values = rng.standard_normal((math.ceil(rows) + 3, math.ceil(columns) + 3), np.float32)
        size = self.grid()[0].shape if sketch else (self.height, self.width)
        box = (1, 1, 1 + columns, 1 + rows)
        return 1.6 * np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.BICUBIC, box))

    def clouds(
        self, rng: np.random.Generator, cell: float, stretch: float = 1.0, sketch: bool = True
    ) -> np.ndarray:
        """Return fractal noise: four octaves of :meth:`noise`, each with half the cell and amplitude.

        The arguments are those of :meth:`noise`.
        """
        return sum(self.noise(rng, cell / 2**i, stretch, sketch) / 2**i for i in range(4)) / 1.15

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates x and y, in units, of a sketch's points, :data:`CELL` apart."""
        rows, columns = math.ceil(self.h / CELL) + 1, math.ceil(self.w / CELL) + 1
        y, x = np.mgrid[:rows, :columns].astype(np.float32) * CELL
        return x, y

    def at(self, sketch: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the values of a sketch at points ``(..., 2)`` in units, from the nearest grid point."""
        rows, columns = sketch.shape[:2]
        x = np.rint(points[..., 0] / CELL).astype(int).clip(0, columns - 1)
        y = np.rint(points[..., 1] / CELL).astype(int).clip(0, rows - 1)
        return sketch[y, x]

    def scatter(self, rng: np.random.Generator, spacing: float) -> np.ndarray:
        """Return evenly scattered points in random order, ``(n, 2)`` in units, slightly beyond the edges too.

        Args:
            rng: random generator.
            spacing: mean distance between neighbors in units.
        """
        y, x = np.mgrid[-1 : self.h / spacing + 2, -1 : self.w / spacing + 2]
        x = x + 0.5 * (np.arange(len(x)) % 2)[:, None]
        points = np.stack([x, y], -1).reshape(-1, 2) + rng.uniform(-0.45, 0.45, (x.size, 2))
        return rng.permutation(points) * spacing

    def trace(self, angle: np.ndarray, starts: np.ndarray, lengths: np.ndarray, steps: int = 8) -> np.ndarray:
        """Trace paths through a field of directions, forwards and backwards from their starting points.

        Args:
            angle: the field, a sketch of angles in radians.
            starts: starting points, ``(n, 2)`` in units, which become the middles of the paths.
            lengths: lengths of the paths, ``(n,)`` in units.
            steps: number of points of each path.

        Returns:
            ``(n, steps, 2)`` in units.
        """
        halves = []
        for sign, count in ((-1, (steps - 1) // 2), (1, steps // 2)):
            point, line = starts, []
            for _ in range(count):
                turn = self.at(angle, point)
                point = point + sign * (lengths / (steps - 1))[:, None] * np.stack(
                    [np.cos(turn), np.sin(turn)], -1
                )
                line.append(point)
            halves.append(line)
        return np.stack([*halves[0][::-1], starts, *halves[1]], 1)

    def _lookup(self, table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return ``table[numbers]``, averaged from the raster down to the pixels of the image.

        Args:
            table: one value for each mark, ``(marks,)``.
            numbers: number of the mark at each pixel of the raster.
        """
        values = table[numbers]
        if self._zoom == 1:
            return values
        return np.asarray(Image.fromarray(values).reduce(self._zoom))

    def numbers(self) -> np.ndarray:
        """Return the number of the topmost mark at each pixel, in drawing order from 0, or -1 for none."""
        middle = self._zoom // 2
        return np.asarray(self._image)[middle :: self._zoom, middle :: self._zoom] - 1

    def coverage(self) -> np.ndarray:
        """Return the fraction of each pixel that marks cover, ``(height, width)`` in [0, 1]."""
        table = np.ones(self._marks, np.float32)
        table[0] = 0
        return self._lookup(table, np.asarray(self._image))

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the centers of the pixels in units: x ``(1, width)`` and y ``(height, 1)``."""
        x, y = (np.arange(self.width) + 0.5) / self.width, (np.arange(self.height) + 0.5) / self.height
        return (x * self.w)[None].astype(np.float32), (y * self.h)[:, None].astype(np.float32)

    def develop(self, impasto: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Render the marks.

        Args:
            impasto: strength of the shading of the relief; 0 for none.

        Returns:
            The image ``(height, width, 3)``, in [0, 1] except that ``impasto`` can make it brighter, and its relief
            ``(height, width)``.
        """
        numbers = np.asarray(self._image)
        colors = np.concatenate(self._colors)
        relief = self._lookup(np.concatenate(self._relief), numbers)
        image = np.stack([self._lookup(colors[:, i].copy(), numbers) for i in range(3)], -1)
        if impasto:
            image = self.lit(image, relief, impasto)
        return image, relief

    def lit(self, image: np.ndarray, relief: np.ndarray, impasto: float) -> np.ndarray:
        """Return the image with its relief shaded by light from the upper left.

        Slopes that face the light become brighter, others darker.

        Args:
            image: ``(height, width, 3)`` in [0, 1].
            relief: thickness of the paint, ``(height, width)``.
            impasto: strength of the shading.

        Returns:
            An array like ``image``. Values are not clipped.
        """
        pixel = self._scale / self._zoom
        relief = ndimage.gaussian_filter(relief, 0.7 * pixel) if pixel > 0.3 else relief
        slope = (LIGHT[0] * np.gradient(relief, axis=1) + LIGHT[1] * np.gradient(relief, axis=0)) * min(
            pixel, 1.5
        )
        shade = np.tanh(-slope * 3 * impasto)[..., None]
        return image * (1 + 0.35 * shade) + 0.12 * np.maximum(shade, 0) ** 2
