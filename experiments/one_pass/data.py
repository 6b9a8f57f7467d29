"""Pairs of photographs and style images for the training of the decoder."""

from collections.abc import Callable, Iterator

import numpy as np

from experiments.distill.data import Pictures, ahead, square


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
        painted: share of style images that are paintings; the others are photographs.
        identity: share of the pairs whose style image is the photograph.
    """

    def __init__(self, pictures: Pictures, seed: int, painted: float = 0.6, identity: float = 0.1) -> None:
        self.pictures, self.seed = pictures, seed
        self.painted, self.identity = painted, identity

    def batch(self, number: int, count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return photographs and style images, each ``(count, side, side, 3)`` float32 in [0, 1]."""
        rng = np.random.default_rng((self.seed, 7, number))
        contents, styles = [], []
        for _ in range(count):
            photographs, paintings = self.pictures.photographs, self.pictures.paintings
            content = square(rng, photographs[rng.integers(len(photographs))], side, np.inf)
            if rng.random() < self.identity:
                style = content
            else:
                group = paintings if paintings and rng.random() < self.painted else photographs
                style = recolored(rng, square(rng, group[rng.integers(len(group))], side, np.inf))
            contents.append(content)
            styles.append(style)
        return np.stack(contents), np.stack(styles)

    def ahead(
        self, first: int, last: int, count: int, side_of: Callable[[int], int]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Return the batches ``first`` to ``last − 1`` by :func:`experiments.distill.data.ahead`."""
        return ahead(lambda number: self.batch(number, count, side_of(number)), first, last)
