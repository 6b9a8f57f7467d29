"""The order of the records of an epoch, and the random crop and flip of each."""

import dataclasses
import functools

import numpy as np


@functools.lru_cache(maxsize=4)  # a batch may reach into the next epoch
def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """``(count,)``: the order of the records in an epoch, from 0, counted from the first.

    Grain's own shuffle walks a cycle of 2¹⁶ places even for a handful of records: 3 ms each of seven, against
    none here.
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclasses.dataclass(frozen=True)
class Order:
    """The record at a position of an endless run of shuffled epochs, as Grain's ``map_with_index`` needs it."""

    seed: int
    count: int

    def __call__(self, position: int, _record: int) -> int:
        """The record there."""
        epoch, within = divmod(position, self.count)
        return int(permutation(self.seed, epoch, self.count)[within])


def plan(record: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return the record at a position, and the random key of its crop."""
    return int(record), int(rng.integers(2**63))
