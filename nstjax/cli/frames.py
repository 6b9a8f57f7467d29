"""Snapshots of a run, and the animation made of them."""

import contextlib
import re
from pathlib import Path

import numpy as np

from nstjax.files import TEMPORARY, cannot_write
from nstjax.images import fit_long_side, load_image, resize, save_gif, save_image
from nstjax.synthesis import Progress

GIF_EVERY = 10  # iterations, where --snapshot-every does not say
_NAME = re.compile(r"scale(\d+)_iteration(\d+)\.png")
GIF_SIDE = 480  # a GIF of 512 colours' worth of noise is large enough at this


def _position(path: Path) -> tuple[int, int]:
    """Scale, from 1, and iteration of a snapshot."""
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1]), int(found[2])


class Frames:
    """Snapshots of a run, on disk so that the animation of a resumed run has all of them.

    Args:
        output: the picture; snapshots go to ``OUT.snapshots``.
        every: iterations between snapshots that are kept; 0 for none.
        gif: the animation's path; its frames are removed when the run is finished, unless they are kept.
    """

    def __init__(self, output: Path, every: int, gif: Path | None) -> None:
        self._folder = output.with_name(output.name + ".snapshots")
        self._every = every or (GIF_EVERY if gif is not None else 0)
        self._keep = bool(every)

    def begin(self, scale: int = 0, iteration: int = 0) -> None:
        """Remove what earlier runs have left, but for the snapshots up to the iteration that is resumed."""
        if self._every:
            self._remove([path for path in self._paths() if _position(path) > (scale + 1, iteration)])

    def _paths(self) -> list[Path]:
        found = (path for path in self._folder.glob("scale*_iteration*.png") if _NAME.fullmatch(path.name))
        return sorted(found, key=_position)

    def _remove(self, paths: list[Path]) -> None:
        """Delete snapshots and what a kill has left of one, and their folder if it holds nothing else."""
        for path in [*paths, *self._folder.glob(f"{TEMPORARY}*")]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def due(self, progress: Progress) -> bool:
        """Return whether a snapshot should be taken after this iteration."""
        return bool(self._every) and progress.entry.iteration % self._every == 0

    def add(self, progress: Progress, image: np.ndarray) -> None:
        """Write a snapshot, named by scale and iteration.

        Raises:
            OutputError: it cannot be written.
        """
        entry = progress.entry
        path = self._folder / f"scale{entry.scale + 1}_iteration{entry.iteration:05d}.png"
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        save_image(path, image)

    def write_gif(self, path: Path, image: np.ndarray) -> None:
        """Write the animation of the snapshots, ending in ``image``.

        Raises:
            InputError: it cannot be written, or a snapshot cannot be read.
        """
        height, width = fit_long_side(image.shape[1], image.shape[2], min(GIF_SIDE, max(image.shape[1:3])))
        frames = [np.asarray(resize(load_image(path), height, width, "linear")) for path in self._paths()]
        save_gif(path, [*frames, np.asarray(resize(image, height, width))])

    def finish(self) -> None:
        """Remove the snapshots that were taken for the animation alone, when all outputs are written."""
        if self._every and not self._keep:
            self._remove(self._paths())
