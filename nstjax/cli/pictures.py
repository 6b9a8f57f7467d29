"""The images of one run, decoded, with the facts of their files."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.cli.commands import ReconstructOptions, TransferOptions
from nstjax.cli.flags import with_flags
from nstjax.cli.jobs import Job
from nstjax.errors import InputError, OutputError, first_line
from nstjax.images import load_image
from nstjax.images.folder import Skipped, skipped_lines
from nstjax.images.mask_spec import mask_files
from nstjax.reports import FileFacts, file_facts
from nstjax.synthesis import TransferConfig

LEAST_SIDE = 8
BAD_INPUT, FAILED = 2, 1  # exit codes


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images ``(1, h, w, 3)``, and ``facts``: path and hash of every file used, by its part in the run."""

    content: np.ndarray | None
    styles: list[np.ndarray]
    init: np.ndarray | None
    fine: np.ndarray | None
    facts: dict[str, FileFacts]


def load_picture(path: Path, long_side: int = 0) -> np.ndarray:
    """An image large enough to paint or to paint from.

    Args:
        path: the file.
        long_side: see :func:`nstjax.images.load_image`.

    Raises:
        InputError: it cannot be read, or has fewer than :data:`LEAST_SIDE` pixels on a side.
    """
    image = load_image(path, long_side)
    height, width = image.shape[1:3]
    if min(height, width) < LEAST_SIDE:
        raise InputError(f"{path} has {width}×{height} pixels: at least {LEAST_SIDE}×{LEAST_SIDE} are wanted")
    return image


def needed_side(config: TransferConfig) -> int:
    """The longest side at which a synthesis looks at a picture: the result's, or a painting's."""
    side = config.pyramid()[-1]
    return max(side, config.style_size or math.ceil(side * config.style_scale))


def print_skipped(skipped: Sequence[Skipped]) -> None:
    """Say which files of a folder were not used, and why."""
    for line in skipped_lines(skipped):
        print(f"nstjax: {line}", file=sys.stderr)


def about(error: Exception, path: Path) -> InputError:
    """Return the error of making one picture, with flags for fields; it begins with the file if it names no other.

    Args:
        error: of any type: a damaged file can raise nearly anything.
        path: of the picture.
    """
    if not isinstance(error, InputError):
        return InputError(f"{path}: {type(error).__name__}: {first_line(error)}")
    message = with_flags(str(error))
    if isinstance(error, OutputError):  # it names the output
        return OutputError(message)
    if path.name in message or "--" in message or message.startswith("-o "):
        return InputError(message)
    return InputError(f"{path}: {message}")


def failure_code(error: Exception, before: int) -> int:
    """Return the exit code after a picture could not be made: 1 where something failed, else 2 for bad input.

    Args:
        error: the reason.
        before: the code so far.
    """
    bad_input = isinstance(error, InputError) and not isinstance(error, OutputError)
    return (before or BAD_INPUT) if bad_input else FAILED


def print_damaged(stores: Sequence[Path]) -> None:
    """Say which stores a list leaves out."""
    for path in stores:
        print(f"nstjax: {path} cannot be read and is left out: make it again or remove it", file=sys.stderr)


def load_pictures(job: Job) -> Pictures:
    """Decode a job's images; a file that is named twice is one array.

    Raises:
        InputError: one of them cannot be read.
    """
    options = job.options
    fine = None if isinstance(options, ReconstructOptions) else options.fine_style
    named: dict[str, Path | None] = {"content": job.content}
    named |= {"style" if i == 0 else f"style_{i + 1}": path for i, path in enumerate(job.styles)}
    named |= {"init": job.init, "fine": fine}
    if isinstance(options, TransferOptions):
        files = mask_files((*options.masks, *options.style_masks))
        named |= {f"mask_{i + 1}": path for i, path in enumerate(files)}
    paths = {name: path for name, path in named.items() if path is not None}
    decoded = {
        path: load_picture(path, needed_side(job.config))
        for name, path in paths.items()
        if not name.startswith("mask")
    }
    facts = {name: file_facts(path) for name, path in paths.items()}

    def image(path: Path | None) -> np.ndarray | None:
        return None if path is None else decoded[path]

    return Pictures(
        image(job.content), [decoded[path] for path in job.styles], image(job.init), image(fine), facts
    )
