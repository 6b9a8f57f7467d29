"""Snapshots of a run, and the animation made from them."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nstjax.files import TEMPORARY, cannot_write
from nstjax.images import fit_long_side, load_image, resize, save_gif, save_image
from nstjax.synthesis import Progress, TransferState

GIF_EVERY = 10  # iterations, where --snapshot-every does not say
_NAME = re.compile(r"scale(\d+)_iteration(\d+)\.png")
GIF_SIDE = 480  # a GIF of 512 colours' worth of noise is large enough at this


def _position(path: Path) -> tuple[int, int]:
    """Scale, from 1, and iteration of a snapshot."""
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1]), int(found[2])


class Frames:
    """Observes a run: writes snapshots to disk, so that the animation of a resumed run has all of them.

    Args:
        output: the picture; snapshots go to ``OUT.snapshots``.
        every: iterations between snapshots that are kept; 0 for none.
        gif: the animation's path; its frames are removed when the run is finished, unless they are kept.
        finish: applied to every image before it is saved.
    """

    def __init__(
        self,
        output: Path,
        every: int,
        gif: Path | None,
        finish: Callable[[np.ndarray], np.ndarray] = lambda image: image,
    ) -> None:
        self._folder = output.with_name(output.name + ".snapshots")
        self._every = every or (GIF_EVERY if gif is not None else 0)
        self._keep = bool(every)
        self._finish = finish

    def begin(self, resume: TransferState | None) -> None:
        """Remove the snapshots of earlier runs, except those up to the iteration that is resumed."""
        last = (0, 0) if resume is None else (resume.scale + 1, resume.saved.iteration)
        if self._every:
            self._remove([path for path in self._paths() if _position(path) > last])

    def step(self, progress: Progress, stopping: bool) -> None:
        """Write a snapshot if one is due after this iteration.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._every or progress.entry.iteration % self._every:
            return
        entry = progress.entry
        path = self._folder / f"scale{entry.scale + 1}_iteration{entry.iteration:05d}.png"
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        save_image(path, self._finish(progress.image()))

    def _paths(self) -> list[Path]:
        found = (path for path in self._folder.glob("scale*_iteration*.png") if _NAME.fullmatch(path.name))
        return sorted(found, key=_position)

    def _remove(self, paths: list[Path]) -> None:
        """Delete snapshots, the temporary file of one that was being written, and their folder if it is empty."""
        for path in [*paths, *self._folder.glob(f"{TEMPORARY}*")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def write_gif(self, path: Path, image: np.ndarray) -> None:
        """Write the animation of the snapshots, ending in ``image``.

        Raises:
            InputError: it cannot be written, or a snapshot cannot be read.
        """
        height, width = fit_long_side(image.shape[1], image.shape[2], min(GIF_SIDE, max(image.shape[1:3])))
        frames = [np.asarray(resize(load_image(path), height, width, "linear")) for path in self._paths()]
        save_gif(path, [*frames, np.asarray(resize(image, height, width))])

    def end(self) -> None:
        """Remove the snapshots that were written for the animation only; all outputs are written."""
        if self._every and not self._keep:
            self._remove(self._paths())
