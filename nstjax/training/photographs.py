"""The batches of a training: photographs, or placeholders for generators without a photograph as input."""

import dataclasses
from typing import Any

import jax
import numpy as np

from nstjax.data import Batch, open_batches
from nstjax.training.config import TrainConfig


class _NoPhotographs:
    """Batches for generators of textures, which look at none."""

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
    """This process's share of every batch; see :class:`nstjax.data.Batches`."""
    index, count = jax.process_index(), jax.process_count()
    if config.generator.content:
        return open_batches(config.data, index, count)
    share = config.data.batch_size // count
    return _NoPhotographs(config.data.size, share, index * share)


def first_photographs(config: TrainConfig, count: int = 4) -> list[np.ndarray]:
    """The same ones whenever the run is resumed."""
    if not config.generator.content:
        return [np.zeros((1, config.data.size, config.data.size, 3), np.float32)]
    batches = open_batches(dataclasses.replace(config.data, workers=0))
    found: list[np.ndarray] = []
    while len(found) < count:
        found += [image[None] for image in np.asarray(next(batches).images)]
    batches.close()
    return found[:count]
