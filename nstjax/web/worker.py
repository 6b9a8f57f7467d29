"""The process of an optimization: ``python -m nstjax.web.worker FOLDER ARGUMENTS``.

It runs ``nstjax transfer`` with the arguments, and prints a line of JSON on standard output after each iteration. A
process of its own can be ended at any time, and its memory is returned. A file ``stop`` in FOLDER stops the run after an
iteration. The run also stops if the server has ended.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.cli.main import guarded
from nstjax.cli.synthesis_command import run_synthesis
from nstjax.errors import InputError
from nstjax.files import saves_elsewhere
from nstjax.heap import keep_freed_memory
from nstjax.images import fit_long_side, resize, save_image
from nstjax.synthesis import Progress
from nstjax.web.session import STOP

PREVIEW_SIDE = 640  # longer side of a preview in pixels
PREVIEW_EVERY_S = 2.0
_KEPT_PREVIEWS = 4  # the page may read a preview some seconds after it was written


class Watch:
    """A callback that prints the progress and writes previews.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._parent = folder, os.getppid()
        self._began = time.monotonic()
        self._shown, self._number = float("-inf"), 0

    def __call__(self, progress: Progress) -> bool:
        """Print the progress after an iteration; return True if the run should stop."""
        entry, now = progress.entry, time.monotonic()
        told: dict[str, float | str | None] = {
            "scale": entry.scale + 1,
            "scales": progress.scales,
            "iteration": entry.iteration,
            "iterations": progress.iterations,
            "width": progress.size[1],
            "height": progress.size[0],
            "loss": entry.loss,
            "done": progress.done,
            "seconds": now - self._began,
        }
        if now - self._shown >= PREVIEW_EVERY_S:
            self._shown = now
            told["preview"] = self._preview(progress)
        print(json.dumps(told), flush=True)
        return (self._folder / STOP).exists() or os.getppid() != self._parent

    def _preview(self, progress: Progress) -> str | None:
        """Write a preview and return its name; None if it cannot be written."""
        self._number += 1
        path = self._folder / f"preview-{self._number:06d}.jpg"
        image = progress.image()
        height, width = image.shape[1:3]
        if max(height, width) > PREVIEW_SIDE:
            image = np.asarray(resize(image, *fit_long_side(height, width, PREVIEW_SIDE)).clip(0, 1))
        try:
            save_image(path, image)
        except InputError:
            return None
        (self._folder / f"preview-{self._number - _KEPT_PREVIEWS:06d}.jpg").unlink(missing_ok=True)
        return path.name


def run_worker(arguments: Sequence[str]) -> int:
    """Run the optimization; return the exit code of ``nstjax transfer``."""
    folder, *rest = arguments
    keep_freed_memory()
    saves_elsewhere.set(False)
    return guarded(lambda: run_synthesis("transfer", rest, Watch(Path(folder))))


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:]))
