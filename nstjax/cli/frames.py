"""Snapshots of a run, and the animation made from them."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nstjax.files import TEMPORARY, cannot_write
from nstjax.images import fit_long_side, load_image, resize, save_gif, save_image
from nstjax.synthesis import Progress, TransferState

GIF_EVERY = 10  # iterations between the frames of an animation without --snapshot-every
_NAME = re.compile(r"scale(\d+)_iteration(\d+)\.png")
GIF_SIDE = 480  # longer side in pixels; noisy images make large GIF files


def _position(path: Path) -> tuple[int, int]:
    """Return the scale, counted from 1, and the iteration of a snapshot."""
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1]), int(found[2])


class Frames:
    """An observer of a run that writes snapshots to disk, so that the animation of a resumed run includes all of them.

    Args:
        output: the picture; the snapshots are in ``OUT.snapshots``.
        every: iterations between snapshots that are kept; 0 for none.
        gif: the animation, or None; its snapshots are deleted when the run is finished, unless ``every`` keeps
            them.
        finish: function that is applied to every image before it is saved.
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
        """Delete the snapshots of earlier runs, except those up to the iteration from which the run resumes."""
        last = (0, 0) if resume is None else (resume.scale + 1, resume.saved.iteration)
        if self._every:
            self._remove([path for path in self._paths() if _position(path) > last])

    def step(self, progress: Progress, stopping: bool) -> None:
        """Write a snapshot if one is due after this iteration.

        Raises:
            OutputError: If the snapshot cannot be written.
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
        """Return the snapshots in the order of the run."""
        found = (path for path in self._folder.glob("scale*_iteration*.png") if _NAME.fullmatch(path.name))
        return sorted(found, key=_position)

    def _remove(self, paths: list[Path]) -> None:
        """Delete snapshots and temporary files of interrupted writes, and the folder if it is then empty."""
        for path in [*paths, *self._folder.glob(f"{TEMPORARY}*")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def write_gif(self, path: Path, image: np.ndarray) -> None:
        """Write the animation of the snapshots, which ends with ``image``.

        Args:
            path: the animation.
            image: the result, ``(1, h, w, 3)`` in [0, 1].

        Raises:
            InputError: If a snapshot cannot be read.
            OutputError: If the animation cannot be written.
        """
        height, width = fit_long_side(image.shape[1], image.shape[2], min(GIF_SIDE, max(image.shape[1:3])))
        frames = [np.asarray(resize(load_image(path), height, width, "linear")) for path in self._paths()]
        save_gif(path, [*frames, np.asarray(resize(image, height, width))])

    def end(self) -> None:
        """Delete the snapshots that were written only for the animation. Call it when all outputs are written."""
        if self._every and not self._keep:
            self._remove(self._paths())
