"""The order of the records in an epoch, and the random key of each position."""

import dataclasses
import functools

import numpy as np


@functools.lru_cache(maxsize=4)  # a batch may extend into the next epoch
def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of the records in an epoch, ``(count,)``.

    It replaces Grain's own shuffle, which walks a cycle of 2¹⁶ places even for a few records: 3 ms for each
    of seven records, compared with a negligible time here.

    Args:
        seed: seed of the order.
        epoch: number of the epoch, from 0.
        count: number of records.
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclasses.dataclass(frozen=True)
class Order:
    """The record at each position of an endless sequence of shuffled epochs, for Grain's ``map_with_index``.

    Attributes:
        seed: seed of the order.
        count: number of records in an epoch.
    """

    seed: int
    count: int

    def __call__(self, position: int, _record: int) -> int:
        """Return the record at ``position``."""
        epoch, within = divmod(position, self.count)
        return int(permutation(self.seed, epoch, self.count)[within])


def plan(record: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return the record of a position, and the random key of its crop and flip."""
    return int(record), int(rng.integers(2**63))
