"""The input pipeline: ordered records, decoded and cropped, in batches of which each process makes its share.

Grain counts through *numbers* of records, shuffled in every epoch, and draws a random key for each position; a
batch is a list of such plans, from which a process decodes its part. So what stands at a position depends on the
seed alone, not on the number of processes, workers or threads, and any position can be gone to at once.
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

MOST_BATCHES = 2**40  # positions beyond are damage


@dataclasses.dataclass(frozen=True)
class Batch:
    """A process's share of a step's photographs.

    Attributes:
        images: ``(b, size, size, 3)`` float32, sRGB, values in [0, 1].
        index: ``(b,)`` int32, the position of each in the batch of all processes.
    """

    images: np.ndarray
    index: np.ndarray


class Batches(Iterator[Batch]):
    """An endless iterator over batches, whose position can be saved and gone to.

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
        self._running: list[Any] = []  # Grain's iterator, while there is one
        # Also where nobody closes them: Grain's own clean-up comes too late in the interpreter's end, and complains.
        weakref.finalize(self, _end, self._running)
        self._order = {
            "photographs": len(source),
            "content": source.identity(),
            "seed": config.seed,
            "batch_size": config.batch_size,
            "shuffle": config.shuffle,
        }

    def _start(self) -> Any:
        """Grain's iterator over this process's batches, from the present one."""
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
                # Grain asks absl for a flag; where no program of absl's runs, all have their defaults.
                flags.FLAGS.mark_as_parsed()
            # Workers take whole batches in turn, so that their number changes no batch.
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
        """Names of the damaged photographs met by this process so far; others stood in for them."""
        return list(self._skipped)

    def get_state(self) -> dict[str, Any]:
        """The position, as plain data: for ``set_state`` of a run over the same photographs.

        It may have other numbers of processes, workers or threads.
        """
        return {"batch": self._batch, **self._order}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to a position: what follows is, to the bit, what followed there.

        Raises:
            InputError: the state is of other photographs, or of an order that was drawn otherwise.
        """
        names = {"seed": "data.seed", "batch_size": "batch_size", "shuffle": "shuffle"}
        for field, now in self._order.items():
            then = state.get(field)
            if then == now or (field == "content" and "names" in state):  # the form of earlier versions
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
        """End threads and worker processes. The next batch asked for starts them again."""
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
    """Hold signals back while workers start, which inherit this for good: a signal is the main process's to answer.

    It arrives there at the end of the block. Ctrl-C in a terminal goes to all processes.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would end the blocking when it starts later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(_index: int, _count: int) -> None:
    ignore_noise()
    with contextlib.suppress(ValueError):  # in a thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    assert main is not None

    def follow() -> None:
        main.join()
        os._exit(0)  # Grain's workers would wait for a killed main process for ever

    threading.Thread(target=follow, daemon=True).start()


def open_source(config: DataConfig) -> Source:
    """The photographs that ``config.source`` names."""
    if config.kind == TFDS:
        from nstjax.data.tfds import Tfds

        return Tfds(config.source, config.data_dir, config.download)
    return Fake(config.source) if config.kind == FAKE else Folder(config.source)


def open_batches(config: DataConfig, process_index: int = 0, process_count: int = 1) -> Batches:
    """An endless iterator over batches of photographs.

    The photographs of a step and their crops depend on ``config`` alone; of them process ``p`` of ``P`` gets
    those at the positions from ``p·batch_size/P`` to ``(p + 1)·batch_size/P``.

    Args:
        config: the source and what is done to it.
        process_index: which process this is.
        process_count: how many share a batch; they must divide ``config.batch_size``.

    Raises:
        InputError: no such source, fewer photographs than a batch takes, or an uneven share.
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
