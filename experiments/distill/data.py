"""Training images of the students: crops of photographs and paintings, with random disturbances.

The disturbances change colors and contrast and add blur and noise, because the iterates of a transfer also
differ from photographs in these ways.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from scipy import ndimage

from nstjax.errors import InputError
from nstjax.images import find_images
from nstjax.images.io import decode_image, to_bytes
from nstjax.paintings import PAINTINGS, paint

Batch = TypeVar("Batch")
CROP = 128  # side of a crop in pixels
LARGEST = 288  # pixels; crops are scaled down from squares of up to this side, to show details of all sizes
KEPT_SHORT_SIDE = 576  # pixels; larger pictures are scaled down, because crops need no more


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        photographs: each ``(h, w, 3)`` uint8, RGB.
        paintings: each ``(h, w, 3)`` uint8, RGB.
    """

    photographs: tuple[np.ndarray, ...]
    paintings: tuple[np.ndarray, ...]

    def digest(self) -> str:
        """Return the SHA-256 of the shapes and pixels of all pictures."""
        found = hashlib.sha256()
        for picture in (*self.photographs, *self.paintings):
            found.update(repr(picture.shape).encode() + picture.tobytes())
        return found.hexdigest()


def _decode(path: Path) -> np.ndarray:
    picture = Image.fromarray(to_bytes(decode_image(path, str(path))))
    ratio = KEPT_SHORT_SIDE / min(picture.size)
    if ratio < 1:
        size = (round(picture.width * ratio), round(picture.height * ratio))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _own_painting(number: int) -> np.ndarray:
    names = sorted(PAINTINGS)
    picture = np.asarray(paint(names[number % len(names)], seed=1 + number // len(names)))
    return (picture[0] * 255 + 0.5).astype(np.uint8)


def read_pictures(photographs: Path, paintings: Sequence[Path], own: int = 0) -> Pictures:
    """Decode photographs and paintings, and leave out those with a side smaller than a crop.

    Pictures whose shorter side has more than ``KEPT_SHORT_SIDE`` pixels are scaled down to it.

    Args:
        photographs: folder of the photographs.
        paintings: files of the paintings.
        own: number of the project's own paintings (:func:`nstjax.paintings.paint`) to add. They cycle through
            the motifs by name. The first cycle has seed 1, the next seed 2, and so on.

    Raises:
        InputError: The folder has no image, a file cannot be decoded, or no photograph is large enough.
    """
    with ThreadPoolExecutor() as pool:
        groups = [list(pool.map(_decode, paths)) for paths in (find_images(photographs), paintings)]
    kept, painted = (tuple(p for p in group if min(p.shape[:2]) >= CROP) for group in groups)
    if not kept:
        raise InputError(f"{photographs} has no photograph of {CROP} pixels and more: name another folder")
    return Pictures(kept, (*painted, *map(_own_painting, range(own))))


def square(rng: np.random.Generator, picture: np.ndarray, side: int, largest: float) -> np.ndarray:
    """Return a random square of a picture, scaled to ``side`` pixels and mirrored with probability 1/2.

    The side of the square is log-uniform between ``side`` and ``largest`` pixels, both at most the picture's
    shorter side.

    Args:
        rng: source of the random numbers.
        picture: ``(h, w, 3)`` uint8.
        side: side of the result in pixels.
        largest: largest side of the square in pixels.

    Returns:
        ``(side, side, 3)`` float32 in [0, 1].
    """
    height, width = picture.shape[:2]
    least, most = min(side, height, width), min(largest, height, width)
    taken = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    top, left = rng.integers(height - taken + 1), rng.integers(width - taken + 1)
    found = picture[top : top + taken, left : left + taken][:, :: rng.choice((-1, 1))]
    if taken != side:
        found = np.asarray(Image.fromarray(found).resize((side, side), Image.Resampling.LANCZOS))
    return found.astype(np.float32) / 255


def crop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Return a random :func:`square` of a picture, from ``CROP`` to ``LARGEST`` pixels, scaled to a crop.

    Args:
        rng: source of the random numbers.
        picture: ``(h, w, 3)`` uint8 with ``h, w ≥ CROP``.

    Returns:
        ``(CROP, CROP, 3)`` float32 in [0, 1].
    """
    return square(rng, picture, CROP, LARGEST)


def ahead(batch: Callable[[int], Batch], first: int, last: int) -> Iterator[Batch]:
    """Yield the batches ``first`` to ``last − 1``. A thread computes them up to three batches ahead.

    Args:
        batch: returns the batch of a number.
        first: number of the first batch.
        last: number after that of the last batch.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(batch, number) for number in range(first, min(first + 3, last))]
        for number in range(first, last):
            if number + 3 < last:
                waiting.append(pool.submit(batch, number + 3))
            yield waiting.pop(0).result()


def disturb(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Change an image at random: permute its channels, change colors and contrast, blur it, add noise.

    Each change has its own probability, so some images stay as they are.

    Args:
        rng: source of the random numbers.
        x: ``(h, w, 3)`` in [0, 1].

    Returns:
        The same shape, float32 in [0, 1].
    """
    if rng.random() < 0.2:
        x = x[..., rng.permutation(3)]
    if rng.random() < 0.6:
        mean = x.mean((0, 1))
        x = (x - mean) * rng.uniform(0.5, 1.6) * rng.uniform(0.8, 1.25, 3) + mean + rng.normal(0, 0.08, 3)
    if rng.random() < 0.1:
        x = ndimage.gaussian_filter(x, (sigma := rng.uniform(0.4, 1.5), sigma, 0))
    if rng.random() < 0.4:
        # Half of the time the noise is blurred: the noise in the result of an optimizer is not always white.
        noise = rng.normal(size=x.shape)
        if rng.random() < 0.5:
            sigma = rng.uniform(0.4, 1.2)
            noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
            noise /= noise.std()
        x = x + rng.exponential(0.06) * noise
    return np.clip(x, 0, 1).astype(np.float32)


class Crops:
    """Source of random crops. Equal pictures, seeds and batch numbers give equal crops.

    Args:
        pictures: from :func:`read_pictures`.
        seed: seed of the training.
        painted: share of crops that are taken from paintings, 0 to 1.
    """

    def __init__(self, pictures: Pictures, seed: int, painted: float = 0.25) -> None:
        self.pictures, self.seed, self.painted = pictures, seed, painted

    def one(self, rng: np.random.Generator, painted: float | None = None) -> np.ndarray:
        """Return a crop without disturbances, ``(CROP, CROP, 3)`` float32 in [0, 1].

        Args:
            rng: source of the random numbers.
            painted: probability of a painting, by default that of this source. Without paintings, every crop
                is taken from a photograph.
        """
        share = self.painted if painted is None else painted
        paintings = self.pictures.paintings
        group = paintings if rng.random() < share and paintings else self.pictures.photographs
        return crop(rng, group[rng.integers(len(group))])

    def batch(self, step: int, count: int) -> np.ndarray:
        """Return a batch of disturbed crops, ``(count, CROP, CROP, 3)`` float32 in [0, 1].

        Args:
            step: number of the batch, which seeds the crops.
            count: number of crops.
        """
        rng = np.random.default_rng((self.seed, 1, step))
        return np.stack([disturb(rng, self.one(rng)) for _ in range(count)])

    def ahead(self, first: int, last: int, count: int) -> Iterator[np.ndarray]:
        """Return the batches ``first`` to ``last − 1`` by :func:`ahead`.

        Args:
            first: number of the first batch.
            last: number after that of the last batch.
            count: number of crops in each batch.
        """
        return ahead(lambda step: self.batch(step, count), first, last)
