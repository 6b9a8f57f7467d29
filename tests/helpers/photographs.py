"""Photographs whose pixels encode their position, so that a crop shows where it comes from."""

from pathlib import Path

import numpy as np
from PIL import Image

from nstjax.data import Batches, DataConfig, open_batches

COUNT = 7
SHORT, LONG = 24, 40


def marked(number: int, height: int = SHORT, width: int = LONG) -> np.ndarray:
    """Return ``(h, w, 3)`` uint8 with the channels number of the photograph, 5·row and 5·column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, number), 5 * rows, 5 * columns], -1).astype(np.uint8)


def write_marked(folder: Path, count: int) -> list[Path]:
    """Write photographs ``00.png``, ``01.png``, …

    Every second one is in landscape format, the others upright; the last third is in a subfolder.
    """
    paths = []
    for number in range(count):
        inside = folder / "more" if number >= count - count // 3 else folder
        inside.mkdir(parents=True, exist_ok=True)
        size = (SHORT, LONG) if number % 2 else (LONG, SHORT)
        paths.append(inside / f"{number:02d}.png")
        Image.fromarray(marked(number, *size)).save(paths[-1])
    return paths


def damage(paths: list[Path]) -> None:
    """Truncate the first file, empty the second, and replace the third by text."""
    paths[0].write_bytes(paths[0].read_bytes()[:70])
    paths[1].write_bytes(b"")
    paths[2].write_text("not a photograph")


def numbers(images: np.ndarray) -> list[int]:
    """Return the number of the photograph that each image of a float32 batch comes from."""
    return np.rint(images[:, 0, 0, 0] * 255).astype(int).tolist()


def config(source: Path | str, **fields: object) -> DataConfig:
    """Return a config with crops of 16 pixels from photographs that need no resampling."""
    return DataConfig(str(source), **{"size": 16, "zoom": (1.5, 1.5), "batch_size": 3, **fields})  # type: ignore[arg-type]


def take(batches: Batches, count: int) -> np.ndarray:
    """Return the images of the next ``count`` batches, concatenated."""
    return np.concatenate([next(batches).images for _ in range(count)])


def first(config: DataConfig, count: int) -> np.ndarray:
    """Return the images of the first ``count`` batches, concatenated."""
    with open_batches(config) as batches:
        return take(batches, count)
