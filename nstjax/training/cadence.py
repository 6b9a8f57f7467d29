"""Intervals of metrics, checkpoints and sample pictures, and the progress passed to a training callback."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from nstjax.errors import MOST, within


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often a training run writes; the result does not depend on it."""

    log_every: int = 50
    """Steps between entries of the metrics."""
    checkpoint_every: int = 500
    """Steps between checkpoints; 0 writes one at the end only."""
    sample_every: int | None = None
    """Steps between sample pictures; by default a tenth of the run, at most 500; 0 makes none."""
    keep: int = 2
    """Number of newest checkpoints to keep."""
    keep_period: int | None = None
    """Also keep checkpoints whose step is a multiple of this; by default no others are kept."""

    def __post_init__(self) -> None:
        within("log_every", self.log_every, 1, MOST)
        within("keep", self.keep, 1, MOST)
        within("checkpoint_every", self.checkpoint_every, 0, MOST)
        if self.sample_every is not None:
            within("sample_every", self.sample_every, 0, MOST)
        if self.keep_period is not None:
            within("keep_period", self.keep_period, 1, MOST)

    def samples_due(self, step: int, steps: int) -> bool:
        """Return True if sample pictures are made after a step.

        Args:
            step: number of steps taken so far, from 1.
            steps: number of steps of the run; the last one always makes samples.
        """
        every = self.sample_every if self.sample_every is not None else max(1, min(500, steps // 10))
        return every > 0 and (step == steps or step % every == 0)


@dataclasses.dataclass(frozen=True)
class TrainProgress:
    """The progress of a training run after a step.

    Attributes:
        step: number of steps taken so far, from 1.
        steps: total number of steps of the run, each on one batch.
        loss: loss of the latest step that has been read from the device, usually the previous one, so that
            training does not wait for the device. Steps with non-finite metrics leave it unchanged; NaN
            before the first finite loss.
        unchanged: loss of the first training photographs themselves: that of a generator which changes nothing.
            NaN for generators of textures, which take no photograph, and in all processes but the first.
        images_per_second: throughput since the last entry of the metrics, over all processes; NaN before the
            first entry.
        skipped: names of the photographs that this process could not read.
        sample: path of the sample pictures that were written after this step, or None.
    """

    step: int
    steps: int
    loss: float
    unchanged: float
    images_per_second: float
    skipped: tuple[str, ...]
    sample: Path | None


TrainCallback = Callable[[TrainProgress], bool | None]
