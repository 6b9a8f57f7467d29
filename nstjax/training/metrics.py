"""Metrics of a training run: JSON lines, TensorBoard event files and sample pictures."""

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
    """Read the metrics of a run.

    Args:
        folder: the folder of the run.

    Returns:
        One dict per line of the metrics file, in order, each with ``step`` and the metrics by name. The list
        is empty if the file does not exist. An incomplete last line, as an interrupted write leaves it, is
        ignored.

    Raises:
        InputError: If the file exists and cannot be read, or a line is damaged.
    """
    path = folder / METRICS
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # a complete line ends with a line break
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
        except ValueError as error:  # also catches InputError, a subclass
            raise InputError(f"line {number} of {path} is damaged: delete this line or the file") from error
        found.append(values)
    return found


class Log:
    """A writer for the metrics and the sample pictures of one run.

    Args:
        folder: the folder of the run, which must exist.
        step: step at which the run begins or resumes; lines of later steps are removed.

    Raises:
        InputError: If the folder cannot be written, or its metrics file is damaged.
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
        """Write one line of metrics, to the metrics file and to TensorBoard.

        Args:
            step: the step of the line.
            values: the metrics by name.

        Raises:
            InputError: If the file cannot be written, for example because the disk is full.
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

    def samples(self, step: int, photographs: list[np.ndarray], pictures: list[np.ndarray]) -> Path:
        """Write a sheet with photographs in the first row and stylized pictures in the second.

        It is written as ``samples/step-<step>.jpg`` and to TensorBoard.

        Args:
            step: the step, which names the file.
            photographs: each ``(h, w, 3)`` in [0, 1]; all have the same height.
            pictures: the stylized photographs in the same order, with the same sizes.

        Returns:
            The path of the sheet.

        Raises:
            InputError: If the sheet cannot be written.
        """
        path = self._folder / SAMPLES / f"step-{step:07d}.jpg"
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in (photographs, pictures)])
        save_image(path, sheet[None], quality=90)
        self._events.add_image("samples", (255 * sheet).round().astype(np.uint8), step, dataformats="HWC")
        return path

    def close(self) -> None:
        """Close the files. Lines that do not fit on a full disk are lost."""
        for file in (self._lines, self._events):
            with contextlib.suppress(OSError):
                file.close()


class TrainingFailed(RuntimeError):
    """The training diverged: the loss stays non-finite. The last checkpoint is kept."""


@dataclasses.dataclass
class MetricSums:
    """Sums of the metrics since the last line of the log. Checkpoints store them.

    Attributes:
        since: step of that line.
        sums: sum of each metric over the steps whose metrics are all finite.
        count: number of those steps.
        bad: number of the other steps.
        bad_in_a_row: number of consecutive steps with non-finite metrics up to the latest one, across lines.
    """

    since: int = 0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    count: int = 0
    bad: int = 0
    bad_in_a_row: int = 0


class MetricWindow:
    """Running averages of the metrics since the last line of the log.

    The metrics of a step are read from the device only when the next step has been added, so the loop does
    not wait for the device.

    Args:
        sums: sums over the steps since the last line.

    Attributes:
        loss: loss of the last step that was read and finite; NaN before there is one.
    """

    def __init__(self, sums: MetricSums) -> None:
        self.loss = math.nan
        self._all = sums
        self._pending: tuple[int, dict[str, Any]] | None = None

    def add(self, step: int, metrics: dict[str, Any]) -> None:
        """Add the metrics of one step, and read those of the step before.

        Args:
            step: number of the step, from 1.
            metrics: scalars by name, possibly still being computed.

        Raises:
            TrainingFailed: If the metrics of the last ``MOST_BAD`` steps that were read are not finite.
        """
        self.flush()
        self._pending = step, metrics

    def flush(self) -> None:
        """Read the metrics of the last step that was added.

        Raises:
            TrainingFailed: As for :meth:`add`.
        """
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
        """Return the averages of the metrics over the steps with finite metrics since the last line.

        Returns:
            The averages by name, and as ``not_finite`` the number of other steps, if any.

        Raises:
            TrainingFailed: As for :meth:`add`.
        """
        self.flush()
        found = {name: value / self._all.count for name, value in self._all.sums.items()}
        if self._all.bad:  # those steps changed no parameters
            found["not_finite"] = float(self._all.bad)
        return found

    def restart(self, step: int) -> None:
        """Start new averages after the line of ``step``."""
        self._all = MetricSums(step, bad_in_a_row=self._all.bad_in_a_row)

    def sums(self) -> MetricSums:
        """Return the sums over all steps added since the last line.

        Raises:
            TrainingFailed: As for :meth:`add`.
        """
        self.flush()
        return self._all

    def check_learning(self, step: int) -> None:
        """Check that at least one step of the run had finite metrics.

        Args:
            step: number of steps so far.

        Raises:
            TrainingFailed: If no step had, or as for :meth:`add`.
        """
        self.flush()
        if self._all.bad_in_a_row >= step:
            raise TrainingFailed(
                f"the loss was not finite in any of the {step} steps: lower `learning_rate`, set `clip`, or check the "
                f"weights of the losses; no model is written"
            )
