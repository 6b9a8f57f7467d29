"""Finds the images in a folder by their content."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from nstjax.errors import InputError
from nstjax.images.formats import SUFFIXES, recognise_file
from nstjax.images.opening import refusal

_COMMON = (".jpg", ".jpeg", ".png", ".webp")
_SHOWN = 5  # names of skipped files per line


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that is not used. ``reason`` says why; messages append it to the file's name."""

    path: Path
    reason: str


def look_at(path: Path, trust_suffix: bool = False) -> Skipped | None:
    """Return why a file of a folder is not a usable image, or None if it is one.

    A file with the suffix of an image and unknown content counts as an image, so that opening it reports the damage.

    Args:
        path: the file.
        trust_suffix: accept a file with the suffix of a common format without reading it. This saves time for data sets
            with 100,000 files.
    """
    if trust_suffix and path.suffix.lower() in _COMMON:
        return None
    kind = recognise_file(path)
    if kind is None and path.suffix.lower() in SUFFIXES:
        return None
    if kind is None:
        return Skipped(path, "is not an image")
    if kind == "video":
        return Skipped(path, "is a video or an unknown kind of media file")
    reason = refusal(kind)
    return Skipped(path, reason) if reason else None


def sort_out(paths: Iterable[Path], trust_suffix: bool = False) -> tuple[list[Path], list[Skipped]]:
    """Separate the images among a folder's entries from its other files. Hidden files and subfolders are ignored.

    Args:
        paths: the entries.
        trust_suffix: see :func:`look_at`.

    Returns:
        The paths of the images, and the other files with the reasons.
    """
    found, others = [], []
    for path in paths:
        if path.name.startswith(".") or not path.is_file():
            continue
        reason = look_at(path, trust_suffix)
        if reason is None:
            found.append(path)
        else:
            others.append(reason)
    return found, others


def find_images(folder: Path, skipped: list[Skipped] | None = None) -> list[Path]:
    """Return the images in a folder, sorted by name. Subfolders and hidden files are ignored.

    Args:
        folder: the folder.
        skipped: receives the files that are not images, with the reasons.

    Raises:
        InputError: If the folder cannot be listed, or contains no image.
    """
    try:
        found, others = sort_out(sorted(folder.iterdir()))
    except OSError as error:
        raise InputError(f"cannot list the folder {folder}: {error.strerror}; check the path") from error
    if not found:
        raise no_images(f"the folder {folder} has no image", others)
    if skipped is not None:
        skipped += others
    return found


def no_images(what: str, others: list[Skipped]) -> InputError:
    """Return the error for a folder without images. The message names the first skipped file, if there is one.

    Args:
        what: beginning of the message, such as ``"the folder F has no image"``.
        others: the skipped files.
    """
    if others:
        return InputError(f"{what} ({others[0].path.name} {others[0].reason}): name another folder")
    return InputError(f"{what} (JPEG, PNG, WebP, TIFF or others): name another folder")


def skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    """Return one line for each reason why files were skipped, with the names of at most five files."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.path.name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        each = "each " if len(names) > 1 else "it "
        lines.append(f"skipped {', '.join(names[:_SHOWN])}{more}: {each}{reason}")
    return lines
