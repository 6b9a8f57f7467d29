"""The share of a batch that one process makes."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from nstjax.data.config import DataConfig
from nstjax.data.source import Source
from nstjax.data.views import bring_to, draw_view
from nstjax.errors import InputError

CACHE_BYTES = 2 * 2**30  # 7,000 photographs of 256×384 pixels
_ACCOUNT = threading.Lock()  # of what the cache holds; not of each Share, since it cannot be sent to a worker


class Share:
    """Makes a process's share of a batch from the plan of the whole; sent to worker processes.

    Args:
        source: the photographs.
        config: what is done to them.
        positions: of the batch, first and one after the last.
    """

    def __init__(self, source: Source, config: DataConfig, positions: tuple[int, int]):
        self.source = source
        self._config = config
        self._positions = positions
        self._budget = CACHE_BYTES // max(1, config.workers) if config.cache else 0
        self._kept: dict[int, np.ndarray] = {}
        self._damaged: set[int] = set()

    def __call__(self, plans: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """``{"images": (b, size, size, 3) uint8, "skipped": names}``."""
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
        """A photograph at the side from which crops are drawn; None if it is damaged."""
        kept = self._kept.get(record)
        if kept is not None:
            return kept
        if record in self._damaged:
            return None
        side = self._config.side
        try:
            photograph = bring_to(self.source.decode(record, side), side)
        except Exception:  # one damaged photograph must not end a training, whatever its decoder raises
            self._damaged.add(record)
            return None
        # What is kept stays: in an order that changes every epoch no photograph is more likely than another
        # to be wanted soon.
        with _ACCOUNT:
            if photograph.nbytes <= self._budget and record not in self._kept:
                self._budget -= photograph.nbytes
                self._kept[record] = photograph
        return photograph

    def _another(self, rng: np.random.Generator, skipped: list[int]) -> tuple[int, np.ndarray]:
        """Return another photograph instead of a damaged one, drawn with the random key of the position.

        Every process would choose the same, and none has to tell another, so that they stay in step.
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
