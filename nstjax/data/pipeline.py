"""The input pipeline: ordered records, decoded and cropped, in batches of which each process makes its share.

Grain iterates over the *indices* of the records, shuffled in every epoch, and draws a random key for each
position. A batch is a list of such pairs, and each process decodes its part of it. The photograph and the
crop at a position therefore depend only on the seed, not on the number of processes, workers or threads, and
the pipeline can start at any position at once.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from nstjax.data.config import FAKE, TFDS, DataConfig
from nstjax.data.fake import Fake
from nstjax.data.folder import Folder
from nstjax.data.order import Order, plan
from nstjax.data.share import Share
from nstjax.data.source import Source
from nstjax.errors import InputError
from nstjax.images.io import ignore_noise

MOST_BATCHES = 2**40  # a saved position beyond this is damaged


@dataclasses.dataclass(frozen=True)
class Batch:
    """One process's share of the photographs of a training step.

    Attributes:
        images: ``(b, size, size, 3)`` float32, sRGB, values in [0, 1].
        index: ``(b,)`` int32, the index of each image in the batch of all processes.
    """

    images: np.ndarray
    index: np.ndarray


class Batches(Iterator[Batch]):
    """An endless iterator over batches. Its position can be saved and restored.

    Args:
        source: the photographs.
        config: settings of order, crops and workers.
        process_index: index of this process.
        process_count: number of processes that share each batch; it must divide ``config.batch_size``.

    Attributes:
        source: the photographs; ``len(batches.source)`` of them make an epoch.
    """

    def __init__(self, source: Source, config: DataConfig, process_index: int, process_count: int):
        share = config.batch_size // process_count
        first = process_index * share
        self.source = source
        self._skipped: dict[str, None] = {}
        self._config = config
        self._index = np.arange(first, first + share, dtype=np.int32)
        self._make = Share(source, config, (first, first + share))
        self._batch = 0
        self._running: list[Any] = []  # holds Grain's iterator while it exists
        # Close Grain's iterator even if the caller does not: its own clean-up runs too late at exit and prints
        # errors.
        weakref.finalize(self, _end, self._running)
        self._order = {
            "photographs": len(source),
            "content": source.identity(),
            "seed": config.seed,
            "batch_size": config.batch_size,
            "shuffle": config.shuffle,
        }

    def _start(self) -> Any:
        """Return Grain's iterator over this process's batches, starting at the current position."""
        import grain

        config = self._config
        count = len(self.source)
        records = grain.MapDataset.range(count).seed(config.seed).repeat()
        if config.shuffle:
            records = records.map_with_index(Order(config.seed, count))
        plans = records.random_map(plan).batch(config.batch_size, drop_remainder=True, batch_fn=list)
        batches = plans[self._batch :].map(self._make)
        threads = min(config.prefetch, os.cpu_count() or 1)
        dataset = batches.to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=config.prefetch)
        )
        if config.workers:
            from absl import flags

            if not flags.FLAGS.is_parsed():
                # Grain reads an absl flag. Outside an absl program, all flags have their defaults.
                flags.FLAGS.mark_as_parsed()
            # Workers make whole batches in turn, so their number does not change the batches.
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=config.workers), worker_init_fn=_start_worker
            )
        ignore_noise()
        return iter(dataset)

    def __next__(self) -> Batch:
        try:
            if self._running:
                made = next(self._running[0])
            else:
                with _signals_blocked() if self._config.workers else contextlib.nullcontext():
                    self._running.append(self._start())
                    made = next(self._running[0])
        except RuntimeError as error:
            if "Worker process" not in str(error):
                raise
            raise InputError(
                "a process of `workers` ended by itself (out of memory, or started by a script whose code is not "
                "under 'if __name__ == \"__main__\":'): try `workers` 0"
            ) from error
        self._batch += 1
        self._skipped.update(dict.fromkeys(made["skipped"]))
        return Batch(made["images"].astype(np.float32) / np.float32(255), self._index)

    @property
    def skipped(self) -> list[str]:
        """Names of the damaged photographs that this process has met so far and replaced by others."""
        return list(self._skipped)

    def get_state(self) -> dict[str, Any]:
        """Return the position as JSON-able data for :meth:`set_state`.

        It can be restored with other numbers of processes, workers or threads, over the same photographs.
        """
        return {"batch": self._batch, **self._order}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a position. The following batches are bit-identical to those that followed it originally.

        Args:
            state: from :meth:`get_state`.

        Raises:
            InputError: If the state belongs to other photographs or to another ``data.seed``, ``batch_size`` or
                ``shuffle``, or is damaged.
        """
        names = {"seed": "data.seed", "batch_size": "batch_size", "shuffle": "shuffle"}
        for field, now in self._order.items():
            then = state.get(field)
            # States of earlier versions have "names" instead of "content".
            if then == now or (field == "content" and "names" in state):
                continue
            if field in names:
                raise InputError(
                    f"the run was started with `{names[field]}` {then}, not {now}: resume it with the same value"
                )
            raise InputError(
                f"{self.source.place} does not have the photographs that the run was started with "
                f"({state.get('photographs')} then, {len(self.source)} now, compared by name and size): resume it with "
                f"the same"
            )
        batch = state.get("batch")
        if type(batch) is not int or not 0 <= batch <= MOST_BATCHES:
            raise InputError(f"the saved position of {self.source.place} is damaged: start a new run")
        self.close()
        self._batch = batch

    def close(self) -> None:
        """Stop threads and worker processes. The next call of ``next`` starts them again."""
        _end(self._running)

    def __enter__(self) -> "Batches":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _end(running: list[Any]) -> None:
    while running:
        running.pop().close()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals while worker processes start; they inherit the blocked set and keep it.

    Only the main process shall handle signals such as Ctrl-C, which a terminal sends to all processes.
    Signals that arrive in the meantime reach the main process at the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # if it started inside the block, it would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(_index: int, _count: int) -> None:
    ignore_noise()
    with contextlib.suppress(ValueError):  # raised outside the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    assert main is not None

    def follow() -> None:
        main.join()
        os._exit(0)  # otherwise Grain's workers would wait forever for a main process that was killed

    threading.Thread(target=follow, daemon=True).start()


def open_source(config: DataConfig) -> Source:
    """Open the source of photographs that ``config.source`` names.

    Raises:
        InputError: If it does not exist or has no photograph, or it names synthetic pictures and there is a folder of
            this name.
    """
    if config.kind == TFDS:
        from nstjax.data.tfds import Tfds

        return Tfds(config.source, config.data_dir, config.download)
    if config.kind != FAKE:
        return Folder(config.source)
    if Path(config.source).is_dir():  # a run on synthetic pictures would look like one on these photographs
        raise InputError(
            f"`data.source` {config.source} stands for synthetic pictures, but there is also a folder {config.source}: "
            f"write ./{config.source} for the folder, or rename the folder"
        )
    return Fake(config.source)


def open_batches(config: DataConfig, process_index: int = 0, process_count: int = 1) -> Batches:
    """Open an endless iterator over batches of photographs.

    The photographs and crops of a step depend only on ``config``. Process ``p`` of ``P`` gets those at the
    positions from ``p·batch_size/P`` up to but not including ``(p + 1)·batch_size/P``.

    Args:
        config: settings of the photographs.
        process_index: index of this process, from 0.
        process_count: number of processes that share each batch; it must divide ``config.batch_size``.

    Returns:
        The iterator, which is also a context manager that closes it.

    Raises:
        InputError: If the source does not exist or has fewer photographs than a batch, or the batch cannot be
            divided equally.
    """
    if config.batch_size % process_count:
        raise InputError(
            f"`batch_size` {config.batch_size} cannot be divided among {process_count} processes: "
            f"choose a multiple of {process_count}"
        )
    source = open_source(config)
    if len(source) < config.batch_size:
        raise InputError(
            f"{source.place} has {len(source)} photographs, fewer than `batch_size` {config.batch_size}: "
            f"add some, or choose a smaller one"
        )
    return Batches(source, config, process_index, process_count)
