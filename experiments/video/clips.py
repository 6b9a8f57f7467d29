"""Clips with known motion, made of photographs."""

import dataclasses

import numpy as np
from scipy import ndimage

from nstjax.images.flow import inside

NOISE = 2 / 255  # standard deviation of the sensor noise that each frame gets


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames and their exact motion.

    Attributes:
        frames: each ``(1, h, w, 3)`` float32 in [0, 1].
        flows: for each frame but the first, the displacement ``(x, y)`` in pixels from its pixels to their places in
            the previous frame, ``(h, w, 2)``.
        seen: for each frame but the first, True where a pixel is also visible in the previous frame, ``(h, w)``.
    """

    frames: tuple[np.ndarray, ...]
    flows: tuple[np.ndarray, ...]
    seen: tuple[np.ndarray, ...]


def _sampled(photo: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the colors ``(h, w, 3)`` of a photograph at real positions, by cubic interpolation."""
    channels = [
        ndimage.map_coordinates(photo[0, ..., channel], (rows, columns), order=3, mode="mirror")
        for channel in range(3)
    ]
    return np.stack(channels, -1).clip(0, 1)


def _noisy(picture: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, NOISE, picture.shape)
    return (picture + noise).clip(0, 1).astype(np.float32)[None]


def panned(photo: np.ndarray, count: int, height: int, width: int) -> Clip:
    """Return a clip of a camera that pans across a photograph and zooms in.

    Args:
        photo: ``(1, h, w, 3)`` in [0, 1], larger than the frames.
        count: number of frames.
        height: height of the frames in pixels.
        width: width of the frames in pixels.
    """
    rows, columns = np.indices((height, width), float)
    rows, columns = rows - (height - 1) / 2, columns - (width - 1) / 2
    tall, wide = photo.shape[1:3]
    room = min(tall / height, wide / width)

    def view(t: float) -> tuple[float, float, float]:
        """Return the zoom and the center of the view."""
        zoom = room * (0.95 - 0.2 * t)
        return zoom, tall / 2 + 0.08 * (t - 0.5) * tall, wide / 2 + 0.2 * (t - 0.5) * wide

    frames, flows, seen = [], [], []
    for number in range(count):
        zoom, top, left = view(number / max(1, count - 1))
        frames.append(_noisy(_sampled(photo, top + zoom * rows, left + zoom * columns), number))
        if number:
            before, upper, lefter = view((number - 1) / max(1, count - 1))
            x = (left - lefter + zoom * columns) / before - columns
            y = (top - upper + zoom * rows) / before - rows
            flow = np.stack([x, y], -1).astype(np.float32)
            flows.append(flow)
            seen.append(inside(flow))
    return Clip(tuple(frames), tuple(flows), tuple(seen))


def passing(ground: np.ndarray, figure: np.ndarray, count: int, speed: float = 3.3) -> Clip:
    """Return a clip of a disk, cut from one photograph, that passes in front of another photograph at rest.

    Args:
        ground: the photograph at rest, ``(1, h, w, 3)`` in [0, 1].
        figure: the photograph of the disk, at least half as high and wide.
        count: number of frames.
        speed: pixels that the disk moves to the right from frame to frame.
    """
    height, width = ground.shape[1:3]
    rows, columns = np.indices((height, width), float)
    radius, middle = height / 4, height / 2
    tall, wide = figure.shape[1:3]

    def covered(number: int) -> np.ndarray:
        center = 1.2 * radius + speed * number
        return np.asarray(np.hypot(rows - middle, columns - center) < radius)

    frames, flows, seen = [], [], []
    for number in range(count):
        center, disk = 1.2 * radius + speed * number, covered(number)
        cut = _sampled(figure, tall / 2 + rows - middle, wide / 2 + columns - center)
        frames.append(_noisy(np.where(disk[..., None], cut, ground[0]), number))
        if number:
            flow = np.zeros((height, width, 2), np.float32)
            flow[disk, 0] = -speed
            flows.append(flow)
            seen.append(np.where(disk, inside(flow), ~covered(number - 1)))
    return Clip(tuple(frames), tuple(flows), tuple(seen))
