"""The finished frames of a video in progress, from which an interrupted run continues."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from nstjax.checkpoints import Series
from nstjax.cli.resume import belongs_to, load_newest, named_difference, states_of
from nstjax.errors import InputError
from nstjax.files import TEMPORARY, cannot_write, replacing, save_elsewhere
from nstjax.images import load_image, save_image


class _Record(TypedDict):
    """The JSON record of a saved state, beside its arrays."""

    identity: dict[str, Any]
    count: int
    facts: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Kept:
    """The frames that an interrupted run has finished.

    Attributes:
        count: their number.
        tree: the arrays that the next frame needs.
        facts: facts about the frames, as JSON.
    """

    count: int
    tree: dict[str, np.ndarray]
    facts: tuple[dict[str, Any], ...]


class FrameStore:
    """The finished frames of a video, as PNG files, and the state after the last one.

    Args:
        output: the video; the frames are in ``OUT.state/frames``.
        identity: everything that must be equal for a run to continue: config, hashes of the inputs, weights.
        every: least number of seconds between two states. Frames are kept in memory until then.
    """

    def __init__(self, output: Path, identity: dict[str, Any], every: float = 0.0) -> None:
        self._series = Series(states_of(output))
        self._folder = states_of(output) / "frames"
        self._output, self._identity, self._every = output, identity, every
        self._count, self._waiting = 0, list[tuple[int, np.ndarray]]()
        self._state: tuple[dict[str, np.ndarray], Sequence[dict[str, Any]]] | None = None
        self._saved_at = time.monotonic()

    @property
    def unfinished(self) -> Path:
        """The path at which the video is encoded, so that a killed run leaves nothing elsewhere."""
        return self._folder / self._output.name

    def _path(self, number: int) -> Path:
        """Return the file of a frame, counted from 0."""
        return self._folder / f"frame{number:06d}.png"

    def load(self) -> Kept | None:
        """Return the frames of an interrupted run with the same identity; None if there are none.

        Raises:
            InputError: If there are frames that cannot be used. The message says why.
        """
        damaged = f"the saved frames in {self._folder} are damaged"
        found = load_newest(self._series, _Record, damaged)
        if found is None:
            return None
        tree, record = found
        differs = named_difference(record["identity"], self._identity)
        if differs:
            raise InputError(f"the saved frames are of a run with another {differs}")
        if not all(self._path(number).is_file() for number in range(record["count"])):
            raise InputError(damaged)
        return Kept(record["count"], tree, tuple(record["facts"]))

    def begin(self, kept: Kept | None) -> None:
        """Create the folder.

        If this run does not continue the earlier one, the frames of that run are deleted when the first frames of this
        run are saved. A run that fails before, such as one with a mask that cannot be read, leaves them.

        Raises:
            OutputError: If the folder cannot be created.
        """
        self._count = 0 if kept is None else kept.count
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def picture(self, number: int) -> np.ndarray:
        """Return the picture of a finished frame, counted from 0, ``(1, h, w, 3)`` in [0, 1].

        Raises:
            InputError: If it cannot be read.
        """
        return load_image(self._path(number))

    def add(
        self, picture: np.ndarray, tree: dict[str, np.ndarray], facts: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Save a finished frame, when a state is due.

        Args:
            picture: the picture, ``(1, h, w, 3)`` in [0, 1]; 8 bits per channel are kept.
            tree: the arrays that the next frame needs, at least one.
            facts: facts about all finished frames.

        Raises:
            OutputError: If it cannot be written.
        """
        self._waiting.append((self._count, picture))
        # One assignment, because an interrupt between two would save a number of frames with the state of another.
        self._count, self._state = self._count + 1, (tree, list(facts))
        if time.monotonic() - self._saved_at >= self._every:
            self.flush()

    def flush(self) -> None:
        """Save the frames that wait. The state is written last, so that a kill leaves the one before.

        Raises:
            OutputError: If they cannot be written.
        """
        if not self._waiting or self._state is None:
            return
        if self._waiting[0][0] == 0:  # this run has saved nothing and does not continue the earlier one
            self._delete_frames()
        for number, picture in self._waiting:
            save_image(self._path(number), picture)
        tree, facts = self._state
        record = {"identity": self._identity, "count": self._count, "facts": list(facts)}
        self._series.save(self._count, tree, record)
        self._waiting, self._saved_at = [], time.monotonic()

    def is_own(self) -> bool:
        """Return False if the frames belong to another run, whose work would be lost with them."""
        return belongs_to(self._series, self._identity)

    def publish(self) -> None:
        """Copy the complete video from :attr:`unfinished` to the output.

        Raises:
            OutputError: If it cannot be written. The message says where it is saved instead.
        """

        def place(path: Path) -> None:
            with replacing(path) as temporary:
                shutil.copyfile(self.unfinished, temporary)

        save_elsewhere(self._output, place, "the video")

    def release(self) -> None:
        """Delete what only this process needs; and the folder, if no state was saved."""
        for path in self._folder.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)
        self.unfinished.unlink(missing_ok=True)
        if not self._series.steps():
            self.end()

    def _delete_frames(self) -> None:
        """Delete all states and then the frames, so that a kill leaves no state without its frames."""
        self._series.remove()
        for path in self._folder.glob("frame*.png"):
            path.unlink(missing_ok=True)

    def end(self) -> None:
        """Delete all frames and states, after the video is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._series.remove()
        with contextlib.suppress(OSError):
            self._folder.parent.rmdir()
