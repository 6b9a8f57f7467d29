"""What the students see: crops of photographs and paintings, made as unlike photographs as iterates are."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from nstjax.errors import InputError
from nstjax.images import find_images
from nstjax.images.io import decode_image, to_bytes
from nstjax.paintings import PAINTINGS, paint

CROP = 128  # pixels a side
LARGEST = 288  # pixels of a picture that become one crop, at most: detail of every size is seen
KEPT_SHORT_SIDE = 576  # pixels; paintings are larger than any use here


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Decoded pictures, each ``(h, w, 3)`` uint8."""

    photographs: tuple[np.ndarray, ...]
    paintings: tuple[np.ndarray, ...]

    def digest(self) -> str:
        """SHA-256 of all pixels."""
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
    """Decode a folder of photographs, and some paintings; what is smaller than a crop is left out.

    Args:
        photographs: a folder.
        paintings: files.
        own: how many of the project's own paintings to add, in turn by manner, then by seed from 1.

    Raises:
        InputError: none is left.
    """
    with ThreadPoolExecutor() as pool:
        groups = [list(pool.map(_decode, paths)) for paths in (find_images(photographs), paintings)]
    kept, painted = (tuple(p for p in group if min(p.shape[:2]) >= CROP) for group in groups)
    if not kept:
        raise InputError(f"{photographs} has no photograph of {CROP} pixels and more: name another folder")
    return Pictures(kept, (*painted, *map(_own_painting, range(own))))


def crop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A random square of a random size, scaled to ``(CROP, CROP, 3)`` float32 in [0, 1], perhaps mirrored."""
    height, width = picture.shape[:2]
    side = int(np.exp(rng.uniform(np.log(CROP), np.log(min(LARGEST, height, width)))))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    square = picture[top : top + side, left : left + side, :: rng.choice((-1, 1))]
    if side != CROP:
        square = np.asarray(Image.fromarray(square).resize((CROP, CROP), Image.Resampling.LANCZOS))
    return square.astype(np.float32) / 255


def disturb(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Colour, contrast, blur and noise, each at random: ``(h, w, 3)`` in [0, 1], to the same."""
    if rng.random() < 0.2:
        x = x[..., rng.permutation(3)]
    if rng.random() < 0.6:
        mean = x.mean((0, 1))
        x = (x - mean) * rng.uniform(0.5, 1.6) * rng.uniform(0.8, 1.25, 3) + mean + rng.normal(0, 0.08, 3)
    if rng.random() < 0.1:
        x = ndimage.gaussian_filter(x, (sigma := rng.uniform(0.4, 1.5), sigma, 0))
    if rng.random() < 0.4:
        # Of one pixel, or of a few: what an optimiser leaves is not always white.
        noise = rng.normal(size=x.shape)
        if rng.random() < 0.5:
            sigma = rng.uniform(0.4, 1.2)
            noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
            noise /= noise.std()
        x = x + rng.exponential(0.06) * noise
    return np.clip(x, 0, 1).astype(np.float32)


class Crops:
    """An endless source of crops; equal seeds and steps give equal crops.

    Args:
        pictures: from :func:`read_pictures`.
        seed: of the whole training.
        painted: share of crops of paintings.
    """

    def __init__(self, pictures: Pictures, seed: int, painted: float = 0.25) -> None:
        self.pictures, self.seed, self.painted = pictures, seed, painted

    def one(self, rng: np.random.Generator, painted: float | None = None) -> np.ndarray:
        """A crop, undisturbed; of a painting with probability ``painted``."""
        share = self.painted if painted is None else painted
        paintings = self.pictures.paintings
        group = paintings if rng.random() < share and paintings else self.pictures.photographs
        return crop(rng, group[rng.integers(len(group))])

    def batch(self, step: int, count: int) -> np.ndarray:
        """The disturbed crops of a step: ``(count, CROP, CROP, 3)``."""
        rng = np.random.default_rng((self.seed, 1, step))
        return np.stack([disturb(rng, self.one(rng)) for _ in range(count)])

    def ahead(self, first: int, last: int, count: int) -> Iterator[np.ndarray]:
        """Batches of steps ``first`` to ``last − 1``, made while the caller computes."""
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(self.batch, step, count) for step in range(first, min(first + 3, last))]
            for step in range(first, last):
                if step + 3 < last:
                    waiting.append(pool.submit(self.batch, step + 3, count))
                yield waiting.pop(0).result()
