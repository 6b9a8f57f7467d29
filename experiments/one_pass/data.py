"""Pairs of photographs and style images for the training of the decoder."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from experiments.distill.data import Pictures


def square(rng: np.random.Generator, picture: np.ndarray, side: int, largest: float) -> np.ndarray:
    """Return a random square of a picture, scaled to ``side`` pixels and mirrored half of the time.

    Args:
        rng: source of the random numbers.
        picture: ``(h, w, 3)`` uint8.
        side: side of the result in pixels.
        largest: largest side of the square, relative to the shorter side of the picture.
    """
    height, width = picture.shape[:2]
    short = min(height, width)
    most = max(largest * short, min(side, short))
    taken = int(np.exp(rng.uniform(np.log(min(side, short)), np.log(most))))
    top, left = rng.integers(height - taken + 1), rng.integers(width - taken + 1)
    found = picture[top : top + taken, left : left + taken][:, :: rng.choice((-1, 1))]
    if taken != side:
        found = np.asarray(Image.fromarray(found).resize((side, side), Image.Resampling.LANCZOS))
    return found.astype(np.float32) / 255


def recolored(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Change the colors of a style image at random: permute channels, mix them, change contrast and brightness."""
    if rng.random() < 0.4:
        x = x[..., rng.permutation(3)]
    if rng.random() < 0.6:
        mean = x.mean((0, 1))
        mix = np.eye(3) + rng.normal(0, 0.15, (3, 3))
        x = (x - mean) @ mix * rng.uniform(0.6, 1.6) + mean + rng.normal(0, 0.1, 3)
    if rng.random() < 0.1:
        x = 1 - x
    return np.clip(x, 0, 1).astype(np.float32)


class Pairs:
    """Source of batches of photographs and style images. Equal seeds and numbers give equal batches.

    Args:
        pictures: photographs and paintings.
        seed: seed of the training.
        side: side of the crops in pixels.
        painted: share of style images that are paintings; the others are photographs.
        identity: share of the pairs whose style image is the photograph.
    """

    def __init__(
        self, pictures: Pictures, seed: int, side: int, painted: float = 0.6, identity: float = 0.1
    ) -> None:
        self.pictures, self.seed, self.side = pictures, seed, side
        self.painted, self.identity = painted, identity

    def batch(self, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return photographs and style images, each ``(count, side, side, 3)`` float32 in [0, 1]."""
        rng = np.random.default_rng((self.seed, 7, number))
        contents, styles = [], []
        for _ in range(count):
            photographs, paintings = self.pictures.photographs, self.pictures.paintings
            content = square(rng, photographs[rng.integers(len(photographs))], self.side, 1.0)
            if rng.random() < self.identity:
                style = content
            else:
                group = paintings if paintings and rng.random() < self.painted else photographs
                style = recolored(rng, square(rng, group[rng.integers(len(group))], self.side, 1.0))
            contents.append(content)
            styles.append(style)
        return np.stack(contents), np.stack(styles)

    def ahead(self, first: int, last: int, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches ``first`` to ``last − 1``; a thread computes them up to three batches ahead."""
        with ThreadPoolExecutor(1) as pool:
            waiting = [pool.submit(self.batch, n, count) for n in range(first, min(first + 3, last))]
            for number in range(first, last):
                if number + 3 < last:
                    waiting.append(pool.submit(self.batch, number + 3, count))
                yield waiting.pop(0).result()
