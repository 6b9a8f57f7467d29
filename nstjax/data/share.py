"""The share of a batch that one process decodes and crops."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from nstjax.data.config import DataConfig
from nstjax.data.source import Source
from nstjax.data.views import bring_to, draw_view
from nstjax.errors import InputError

CACHE_BYTES = 2 * 2**30  # enough for 7,000 photographs of 256×384 pixels
_ACCOUNT = threading.Lock()  # guards the caches; global, because a Share with a lock could not be pickled


class Share:
    """A function that makes a process's share of a batch. Worker processes receive a copy.

    Args:
        source: the photographs.
        config: settings of crops and cache.
        positions: first position of the share in the batch, and the position after its last one.
    """

    def __init__(self, source: Source, config: DataConfig, positions: tuple[int, int]):
        self.source = source
        self._config = config
        self._positions = positions
        self._budget = CACHE_BYTES // max(1, config.workers) if config.cache else 0
        self._kept: dict[int, np.ndarray] = {}
        self._damaged: set[int] = set()

    def __call__(self, plans: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Make the share of one batch.

        Args:
            plans: record and random key for each position of the whole batch.

        Returns:
            ``{"images": (b, size, size, 3) uint8, "skipped": names of damaged photographs}``.

        Raises:
            InputError: If no photograph of the source can be read.
        """
        config, skipped, views = self._config, list[int](), list[np.ndarray]()
        for record, key in plans[slice(*self._positions)]:
            rng = np.random.default_rng(key)
            photograph = self._load(record)
            if photograph is None:
                skipped.append(record)
                record, photograph = self._another(rng, skipped)
            views.append(draw_view(photograph, config.size, config.zoom, config.flip, rng))
        return {
            "images": np.stack(views),
            "skipped": [self.source.name(record) for record in skipped],
        }

    def _load(self, record: int) -> np.ndarray | None:
        """Return a photograph resized to the side from which crops are drawn, or None if it is damaged."""
        kept = self._kept.get(record)
        if kept is not None:
            return kept
        if record in self._damaged:
            return None
        side = self._config.side
        try:
            photograph = bring_to(self.source.decode(record, side), side)
        except Exception:  # one damaged photograph must not end the run, whatever its decoder raises
            self._damaged.add(record)
            return None
        # Nothing is evicted from the cache: every epoch has a new order, so no photograph is more likely than
        # another to be needed soon.
        with _ACCOUNT:
            if photograph.nbytes <= self._budget and record not in self._kept:
                self._budget -= photograph.nbytes
                self._kept[record] = photograph
        return photograph

    def _another(self, rng: np.random.Generator, skipped: list[int]) -> tuple[int, np.ndarray]:
        """Return a readable photograph to use in place of a damaged one.

        The photographs are tried in a random order that depends only on the position in the batch. All processes
        therefore make the same choice without communication.

        Args:
            rng: random generator of the position in the batch.
            skipped: the indices of the photographs that cannot be read are appended to it.

        Returns:
            The index of the photograph in the source, and the resized photograph.

        Raises:
            InputError: If no photograph of the source can be read.
        """
        for record in rng.permutation(len(self.source)).tolist():
            photograph = self._load(record)
            if photograph is not None:
                return record, photograph
            skipped.append(record)
        raise InputError(
            f"no photograph of {self.source.place} can be read, the first being "
            f"{self.source.name(0)}: copy them again, or name others as `data.source`"
        )
