"""What a training writes down as it goes: JSON lines, event files for TensorBoard, pictures of fixed photographs."""

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.errors import InputError
from nstjax.files import write_atomically
from nstjax.images import save_image
from nstjax.training.state import MOST_BAD

LINES, EVENTS, SAMPLES = "metrics.jsonl", "events", "samples"


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run, in order; a last line that a kill cut short is left out.

    Raises:
        InputError: the file is there and cannot be read.
    """
    try:
        text = (folder / LINES).read_text()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read {folder / LINES}: {error.strerror}; check the path") from error
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


class Log:
    """Writes the metrics of one run.

    Args:
        folder: of the run; it must be there.
        step: at which the run begins or is resumed; what was written of later steps is taken back.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self._folder = folder
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        write_atomically(folder / LINES, "".join(json.dumps(line) + "\n" for line in kept).encode())
        try:
            self._lines = (folder / LINES).open("a")
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
                f"cannot write {self._folder / LINES}: {error.strerror}; free some space"
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


class Window:
    """Averages of the metrics since the last line, one step behind the device, which need not wait.

    Attributes:
        loss: of the last step that was looked at; NaN before there is one.
    """

    def __init__(self) -> None:
        self.loss = math.nan
        self._sums: dict[str, float] = {}
        self._count = self._bad = self._bad_in_a_row = 0
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
        if not all(math.isfinite(value) for value in values.values()):
            self._bad += 1
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= MOST_BAD:
                raise TrainingFailed(
                    f"the loss is not finite since step {step - MOST_BAD + 1}: lower --learning-rate or give --clip; "
                    f"checkpoints are as they were"
                )
            return
        self._bad_in_a_row = 0
        self.loss = values["loss"]
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """The averages; then begin anew; errors as :meth:`add`."""
        self.flush()
        found = {name: total / self._count for name, total in self._sums.items()}
        if self._bad:  # said where there are any: such a step changed nothing
            found["not_finite"] = float(self._bad)
        self._sums, self._count, self._bad = {}, 0, 0
        return found
