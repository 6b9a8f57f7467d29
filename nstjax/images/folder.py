"""Finds the images in a folder by their content."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from nstjax.errors import InputError
from nstjax.images.formats import SUFFIXES, recognise_file
from nstjax.images.opening import refusal

_COMMON = (".jpg", ".jpeg", ".png", ".webp")
_SHOWN = 5  # names of skipped files in a line


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that is not used, and why: the reason goes after its name."""

    path: Path
    reason: str


def look_at(path: Path, trust_suffix: bool = False) -> Skipped | None:
    """Why a file of a folder is not an image to use; ``None`` where it is one.

    A file with an image's suffix and no known content counts as an image: opening it tells of the damage.

    Args:
        path: the file.
        trust_suffix: do not read a file with the suffix of a common format. Data sets have 100,000 files.
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
    """The images among a folder's entries, and its other files; hidden files and folders are in neither.

    Args:
        paths: the entries.
        trust_suffix: see :func:`look_at`.
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
    """The images of a folder (not of its subfolders), sorted by name. Hidden files are passed over.

    Args:
        folder: where to look.
        skipped: receives the other files, with the reasons.

    Raises:
        InputError: the folder cannot be listed, or has no image.
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
    """The error of a folder without images, which names the first file that was skipped."""
    if others:
        return InputError(f"{what} ({others[0].path.name} {others[0].reason}): name another folder")
    return InputError(f"{what} (JPEG, PNG, WebP, TIFF or others): name another folder")


def skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    """Return a line for each reason of skipped files, with the names of at most five files."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.path.name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        each = "each " if len(names) > 1 else "it "
        lines.append(f"skipped {', '.join(names[:_SHOWN])}{more}: {each}{reason}")
    return lines
