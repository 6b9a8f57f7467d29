"""Decodes the images of a run and records their paths and hashes."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.cli.job import Job
from nstjax.errors import InputError
from nstjax.images import load_image
from nstjax.images.folder import Skipped, skipped_lines
from nstjax.reports import FileFacts, file_facts
from nstjax.synthesis import TransferConfig

LEAST_SIDE = 8  # smallest side of an image, in pixels


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The decoded images of a run, ``(1, h, w, 3)`` float32 in [0, 1].

    Attributes:
        content: the photograph, or None.
        styles: the style images.
        init: the image from which the run starts, or None.
        fine: the style image for fine textures, or None.
        facts: path and hash of every file of the run, by its role; see :meth:`nstjax.cli.job.Sources.files`.
    """

    content: np.ndarray | None
    styles: list[np.ndarray]
    init: np.ndarray | None
    fine: np.ndarray | None
    facts: dict[str, FileFacts]


def load_picture(path: Path, long_side: int = 0) -> np.ndarray:
    """Load an image that is large enough for a synthesis.

    Args:
        path: the file.
        long_side: see :func:`nstjax.images.load_image`.

    Returns:
        ``(1, h, w, 3)`` float32, sRGB, values in [0, 1].

    Raises:
        InputError: If the file cannot be read, or a side has less than :data:`LEAST_SIDE` pixels.
    """
    image = load_image(path, long_side)
    height, width = image.shape[1:3]
    if min(height, width) < LEAST_SIDE:
        raise InputError(
            f"{path} has {width}×{height} pixels: it must have at least {LEAST_SIDE}×{LEAST_SIDE}"
        )
    return image


def needed_side(config: TransferConfig) -> int:
    """Return the longest side at which a synthesis uses an image, of the result or of a style image, in pixels."""
    side = config.pyramid()[-1]
    return max(side, config.style_size or math.ceil(side * config.style_scale))


def print_skipped(skipped: Sequence[Skipped]) -> None:
    """Print which files of a folder were not used, and why."""
    for line in skipped_lines(skipped):
        print(f"nstjax: {line}", file=sys.stderr)


def print_damaged(stores: Sequence[Path]) -> None:
    """Print which stores a list leaves out."""
    for path in stores:
        print(f"nstjax: {path} cannot be read and is left out: make it again or remove it", file=sys.stderr)


def load_pictures(job: Job) -> Pictures:
    """Decode the images of a job. A file that occurs twice is decoded once, and a video is not decoded.

    Raises:
        InputError: If an image cannot be read.
    """
    files = job.sources.files()
    video = None if job.video is None else job.sources.content
    decoded = {
        path: load_picture(path, needed_side(job.config))
        for name, path in files.items()
        if not name.startswith("mask") and path != video
    }

    def image(path: Path | None) -> np.ndarray | None:
        return None if path is None or path == video else decoded[path]

    sources = job.sources
    return Pictures(
        image(sources.content),
        [decoded[path] for path in sources.styles],
        image(sources.init_image),
        image(sources.fine_style),
        {name: file_facts(path) for name, path in files.items()},
    )
