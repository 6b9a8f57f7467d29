"""Metrics of a training: JSON lines, TensorBoard event files, and sample pictures."""

import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from nstjax.errors import InputError
from nstjax.files import METRICS, write_atomically
from nstjax.images import save_image
from nstjax.plain import checked, parse_json
from nstjax.training.state import MOST_BAD

EVENTS, SAMPLES = "events", "samples"


class _Step(TypedDict):
    step: int


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Read the lines of a run, in order; a last line that a kill cut short is left out.

    Raises:
        InputError: the file exists and cannot be read, or is damaged.
    """
    path = folder / METRICS
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # a whole line ends with a line break
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            values = parse_json(line)
            checked(values, _Step, "the line")
            checked(values, dict[str, float], "the line")
        except ValueError as error:  # an InputError is one
            raise InputError(f"line {number} of {path} is damaged: delete this line or the file") from error
        found.append(values)
    return found


class Log:
    """Writes the metrics of one run.

    Args:
        folder: of the run; it must be there.
        step: at which the run begins or is resumed; lines of later steps are removed.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self._folder = folder
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        write_atomically(folder / METRICS, "".join(json.dumps(line) + "\n" for line in kept).encode())
        try:
            self._lines = (folder / METRICS).open("a")
            self._events = SummaryWriter(str(folder / EVENTS), purge_step=step + 1 if step else None)
            (folder / SAMPLES).mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write into {folder}: {error.strerror}; choose another place") from error

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line, and the same for TensorBoard.

        Raises:
            InputError: the disk is full.
        """
        try:
            self._lines.write(json.dumps({"step": step, **values}) + "\n")
            self._lines.flush()
        except OSError as error:
            raise InputError(
                f"cannot write {self._folder / METRICS}: {error.strerror}; free some space"
            ) from error
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def samples(self, step: int, photographs: list[np.ndarray], pictures: list[np.ndarray]) -> None:
        """A sheet, photographs above and pictures below.

        Args:
            step: names it.
            photographs: each ``(h, w, 3)`` in [0, 1]; all of one height.
            pictures: likewise, in their order.
        """
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in (photographs, pictures)])
        save_image(self._folder / SAMPLES / f"step-{step:07d}.jpg", sheet[None], quality=90)
        self._events.add_image("samples", (255 * sheet).round().astype(np.uint8), step, dataformats="HWC")

    def close(self) -> None:
        """Close the files; lines that a full disk does not take are lost."""
        for file in (self._lines, self._events):
            with contextlib.suppress(OSError):
                file.close()


class TrainingFailed(RuntimeError):
    """The loss stays non-finite; the last checkpoint is as it was."""


@dataclasses.dataclass
class MetricSums:
    """Sums of the metrics since a line, as a checkpoint holds them.

    Attributes:
        since: step of that line.
        sums: of each metric, over the steps whose metrics are finite.
        count: number of those steps.
        bad: number of the other steps.
        bad_in_a_row: number of the latest steps whose metrics are not finite, earlier lines included.
    """

    since: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    count: int = 0
    bad: int = 0
    bad_in_a_row: int = 0


class MetricWindow:
    """Averages of the metrics since the last line, one step behind the device, which need not wait.

    Args:
        sums: of the steps since the last line.

    Attributes:
        loss: of the last step that was looked at; NaN before there is one.
    """

    def __init__(self, sums: MetricSums) -> None:
        self.loss = math.nan
        self._all = sums
        self._pending: tuple[int, dict[str, Any]] | None = None

    def add(self, step: int, metrics: dict[str, Any]) -> None:
        """Count one step's scalars, and look at those of the step before.

        Raises:
            TrainingFailed: it is one of many in a row that are not finite.
        """
        self.flush()
        self._pending = step, metrics

    def flush(self) -> None:
        """Look at the last step too; errors as :meth:`add`."""
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        values = {name: float(value) for name, value in metrics.items()}
        total = self._all
        if not all(math.isfinite(value) for value in values.values()):
            total.bad += 1
            total.bad_in_a_row += 1
            if total.bad_in_a_row >= MOST_BAD:
                raise TrainingFailed(
                    f"the loss is not finite since step {step - MOST_BAD + 1}: lower `learning_rate` or set `clip`; "
                    f"checkpoints are as they were"
                )
            return
        total.bad_in_a_row = 0
        self.loss = values["loss"]
        total.count += 1
        for name, value in values.items():
            total.sums[name] = total.sums.get(name, 0.0) + value

    def averages(self) -> dict[str, float]:
        """Return the averages; errors as :meth:`add`."""
        self.flush()
        found = {name: value / self._all.count for name, value in self._all.sums.items()}
        if self._all.bad:  # such a step changed nothing
            found["not_finite"] = float(self._all.bad)
        return found

    def restart(self, step: int) -> None:
        """Begin new averages after the line of a step."""
        self._all = MetricSums(step, bad_in_a_row=self._all.bad_in_a_row)

    def sums(self) -> MetricSums:
        """Return the sums of all steps so far; errors as :meth:`add`."""
        self.flush()
        return self._all

    def check_learning(self, step: int) -> None:
        """Raise :class:`TrainingFailed` if no step of the run so far had finite metrics.

        Args:
            step: number of steps so far.
        """
        self.flush()
        if self._all.bad_in_a_row >= step:
            raise TrainingFailed(
                f"the loss was not finite in any of the {step} steps: lower `learning_rate`, set `clip`, or check the "
                f"weights of the losses; no model is written"
            )
