"""The finished frames of a video in progress, from which an interrupted run continues."""

import contextlib
import dataclasses
import shutil
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from nstjax.checkpoints import Series
from nstjax.cli.resume import named_difference, states_of
from nstjax.errors import InputError
from nstjax.files import cannot_write
from nstjax.images import load_image, save_image
from nstjax.plain import checked


class _Record(TypedDict):
    """The JSON record of a saved state, beside its arrays."""

    identity: dict[str, Any]
    frames: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Kept:
    """The frames that an interrupted run has finished.

    Attributes:
        tree: the arrays that the next frame needs.
        frames: facts about each finished frame, as JSON.
    """

    tree: dict[str, np.ndarray]
    frames: tuple[dict[str, Any], ...]


class FrameStore:
    """The finished frames of a video, as PNG files, and the state after the last one.

    Args:
        output: the video; the frames are in ``OUT.state/frames``.
        identity: everything that must be equal for a run to continue: config, hashes of the inputs, weights.
    """

    def __init__(self, output: Path, identity: dict[str, Any]) -> None:
        self._series = Series(states_of(output))
        self._folder = states_of(output) / "frames"
        self._output, self._identity = output, identity

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
        try:
            found = self._series.load_newest()
            if found is None:
                return None
            tree = checked(found[0], dict[str, np.ndarray], "the state")
            record: _Record = checked(found[1], _Record, "the record")
        except InputError as error:
            raise InputError(damaged) from error
        differs = named_difference(record["identity"], self._identity)
        if differs:
            raise InputError(f"the saved frames are of a run with another {differs}")
        if not all(self._path(number).is_file() for number in range(len(record["frames"]))):
            raise InputError(damaged)
        return Kept(tree, tuple(record["frames"]))

    def begin(self, kept: Kept | None) -> None:
        """Create the folder, and delete the frames of an earlier run, unless this run continues it.

        Raises:
            OutputError: If the folder cannot be created.
        """
        if kept is None:
            self.end()
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

    def add(self, picture: np.ndarray, tree: dict[str, np.ndarray], frames: list[dict[str, Any]]) -> None:
        """Save a finished frame. The state is written last, so that a kill leaves the one before.

        Args:
            picture: the picture, ``(1, h, w, 3)`` in [0, 1]; 8 bits per channel are kept.
            tree: the arrays that the next frame needs.
            frames: facts about all finished frames, of which this is the last.

        Raises:
            OutputError: If it cannot be written.
        """
        save_image(self._path(len(frames) - 1), picture)
        self._series.save(len(frames), tree, {"identity": self._identity, "frames": frames})

    def end(self) -> None:
        """Delete all frames and states, after the video is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._series.remove()
        with contextlib.suppress(OSError):
            self._folder.parent.rmdir()
