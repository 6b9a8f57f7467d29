"""How often a run writes, and what it tells whoever watches."""

import dataclasses
from collections.abc import Callable

from nstjax.errors import MOST, within


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often a run writes; it changes nothing of the result."""

    log_every: int = 50
    """Steps between lines of metrics."""
    checkpoint_every: int = 500
    """Steps between checkpoints; 0 is at the end alone."""
    sample_every: int = 500
    """Steps between pictures of fixed photographs; 0 is none."""
    keep: int = 2
    """Newest checkpoints kept."""
    keep_period: int | None = None
    """Besides these, checkpoints whose step it divides are kept for good."""

    def __post_init__(self) -> None:
        within("log_every", self.log_every, 1, MOST)
        within("keep", self.keep, 1, MOST)
        within("checkpoint_every", self.checkpoint_every, 0, MOST)
        within("sample_every", self.sample_every, 0, MOST)
        if self.keep_period is not None:
            within("keep_period", self.keep_period, 1, MOST)


@dataclasses.dataclass(frozen=True)
class TrainProgress:
    """What is told after a step.

    Attributes:
        step: how many have been taken.
        steps: how many there will be.
        loss: of the step before; the device need not be waited for.
        images_per_second: since the last line of metrics, over all processes.
        skipped: photographs that could not be read so far.
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    skipped: tuple[str, ...]


TrainCallback = Callable[[TrainProgress], bool | None]
