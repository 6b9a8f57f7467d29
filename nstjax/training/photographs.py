"""The batches of a training run: photographs, or zeros for generators of textures."""

import dataclasses
from typing import Any

import jax
import numpy as np

from nstjax.data import Batch, open_batches
from nstjax.training.config import TrainConfig


class _NoPhotographs:
    """Batches of zeros with the interface of :class:`nstjax.data.Batches`, for generators of textures."""

    skipped: list[str] = []  # noqa: RUF012

    def __init__(self, size: int, count: int, first: int) -> None:
        images = np.zeros((count, size, size, 3), np.float32)
        self._batch = Batch(images, np.arange(first, first + count, dtype=np.int32))

    def __next__(self) -> Batch:
        return self._batch

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


def open_share(config: TrainConfig) -> Any:
    """Open this process's share of every batch.

    Args:
        config: settings of the training run; ``data.batch_size`` must be a multiple of the number of processes.

    Returns:
        A :class:`nstjax.data.Batches`, or an object with the same methods that yields zeros if the generator
        takes no photograph.

    Raises:
        InputError: As for :func:`nstjax.data.open_batches`.
    """
    index, count = jax.process_index(), jax.process_count()
    if config.generator.content:
        return open_batches(config.data, index, count)
    share = config.data.batch_size // count
    return _NoPhotographs(config.data.size, share, index * share)


def first_photographs(config: TrainConfig, count: int) -> list[np.ndarray]:
    """Return the first training photographs for the sample pictures; a resumed run gets the same ones.

    Args:
        config: settings of the training run.
        count: number of photographs.

    Returns:
        Crops ``(1, size, size, 3)``, float32 in [0, 1]; for generators of textures a single array of zeros.

    Raises:
        InputError: As for :func:`nstjax.data.open_batches`.
    """
    if not config.generator.content:
        return [np.zeros((1, config.data.size, config.data.size, 3), np.float32)]
    batches = open_batches(dataclasses.replace(config.data, workers=0))
    found: list[np.ndarray] = []
    try:
        while len(found) < count:
            found += [image[None] for image in np.asarray(next(batches).images)]
    finally:
        batches.close()
    return found[:count]
