"""How often a training writes metrics, checkpoints and samples, and what it reports after a step."""

import dataclasses
from collections.abc import Callable

from nstjax.errors import MOST, within


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often a training writes; the result does not depend on it."""

    log_every: int = 50
    """Steps between entries of the metrics."""
    checkpoint_every: int = 500
    """Steps between checkpoints; 0 writes one at the end only."""
    sample_every: int = 500
    """Steps between sample pictures; 0 makes none."""
    keep: int = 2
    """Number of newest checkpoints to keep."""
    keep_period: int | None = None
    """Also keep checkpoints whose step is a multiple of this."""

    def __post_init__(self) -> None:
        within("log_every", self.log_every, 1, MOST)
        within("keep", self.keep, 1, MOST)
        within("checkpoint_every", self.checkpoint_every, 0, MOST)
        within("sample_every", self.sample_every, 0, MOST)
        if self.keep_period is not None:
            within("keep_period", self.keep_period, 1, MOST)


@dataclasses.dataclass(frozen=True)
class TrainProgress:
    """The state of a training after a step.

    Attributes:
        step: number of steps taken.
        steps: number of steps of the whole training.
        loss: loss of the previous step, so that reading it does not wait for the device.
        images_per_second: rate since the last entry of the metrics, over all processes.
        skipped: photographs that could not be read.
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    skipped: tuple[str, ...]


TrainCallback = Callable[[TrainProgress], bool | None]
