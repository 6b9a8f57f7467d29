"""Snapshots of a run, and the animation made of them."""

import contextlib
from pathlib import Path

import numpy as np

from nstjax.errors import InputError
from nstjax.images import fit_long_side, load_image, resize, save_gif, save_image
from nstjax.synthesis import Progress

GIF_EVERY = 10  # iterations, where --snapshot-every does not say
GIF_SIDE = 480  # a GIF of 512 colours' worth of noise is large enough at this


class Frames:
    """Collects pictures of a run on disk, so that a resumed run's animation is whole.

    Args:
        output: the picture; snapshots go to ``OUT.snapshots``.
        every: iterations between them; 0 for none.
        gif: the animation's path; its frames alone are removed after it is written.
        resumed: keep what an earlier part of the run has left.
    """

    def __init__(self, output: Path, every: int, gif: Path | None, resumed: bool) -> None:
        self._folder = output.with_name(output.name + ".snapshots")
        self._every = every or (GIF_EVERY if gif is not None else 0)
        self._keep, self._gif, self._resumed = bool(every), gif, resumed

    def begin(self) -> None:
        """Called when the run's first iteration is done: what an earlier run has left is of no more use."""
        if self._every and not self._resumed:
            self._remove()

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("scale*_iteration*.png"))

    def _remove(self) -> None:
        """Delete the snapshots, and their folder if it holds nothing else."""
        for path in self._paths():
            path.unlink()
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def due(self, progress: Progress) -> bool:
        """Whether a snapshot is to be taken after this iteration."""
        return bool(self._every) and progress.entry.iteration % self._every == 0

    def add(self, progress: Progress, image: np.ndarray) -> None:
        """Write a snapshot, named by scale and iteration."""
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make the folder {self._folder}: {error.strerror}; choose another -o"
            ) from error
        entry = progress.entry
        save_image(self._folder / f"scale{entry.scale + 1}_iteration{entry.iteration:05d}.png", image)

    def finish(self, image: np.ndarray, stopped: bool) -> None:
        """Write the animation, if one is asked for, ending in ``image``; a stopped run keeps its frames."""
        if self._gif is None:
            return
        height, width = fit_long_side(image.shape[1], image.shape[2], min(GIF_SIDE, max(image.shape[1:3])))
        frames = [np.asarray(resize(load_image(path), height, width, "linear")) for path in self._paths()]
        save_gif(self._gif, [*frames, np.asarray(resize(image, height, width))])
        if not self._keep and not stopped:
            self._remove()
