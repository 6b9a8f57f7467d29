"""Photographs in a folder and its subfolders."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from nstjax.errors import InputError, InputWarning
from nstjax.files import METRICS, RUN_RECORD
from nstjax.images.folder import Skipped, no_images, skipped_lines, sort_out
from nstjax.images.io import decode_image, to_bytes


def find_photographs(folder: Path) -> list[str]:
    """Find the image files in a folder and its subfolders.

    Files with the most common suffixes are recognized by their suffix, all others by their content. Hidden
    files and folders are skipped. So are the folders of training runs, because they contain sample pictures.
    Symbolic links are followed, each folder once. An :class:`InputWarning` names the files and runs that are
    skipped.

    Args:
        folder: the folder.

    Returns:
        Paths relative to ``folder``, with ``/`` as separator, sorted by name.

    Raises:
        InputError: If the folder does not exist, is a file, cannot be listed, or has no image.
    """
    if not folder.exists():
        raise InputError(f"`data.source` {folder} does not exist: name a folder of photographs, or tfds:NAME")
    if not folder.is_dir():
        raise InputError(f"`data.source` {folder} is a file: name the folder that it is in")
    seen: set[tuple[int, int]] = set()
    found: list[str] = []
    others: list[Skipped] = []
    runs: list[str] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot list the folder {error.filename}: {error.strerror}; check its permissions")

    for where, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        status = os.stat(where)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if where != str(folder) and {RUN_RECORD, METRICS} & set(files):
            runs.append(os.path.relpath(where, folder))
            folders.clear()
            continue
        # Sorted, so that if several links lead to one folder, the same one is always used.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images, rest = sort_out((Path(where, name) for name in sorted(files)), trust_suffix=True)
        found += [path.relative_to(folder).as_posix() for path in images]
        others += rest
    if not found:
        raise no_images(f"`data.source` {folder} has no photograph, nor have its subfolders", others)
    for line in skipped_lines(others):
        warnings.warn(f"`data.source` {folder}: {line}", InputWarning, stacklevel=2)
    if runs:
        warnings.warn(
            f"`data.source` {folder}: skipped {', '.join(runs)}, which training wrote",
            InputWarning,
            stacklevel=2,
        )
    return sorted(found)


class Folder:
    """A :class:`~nstjax.data.source.Source` of the photographs in a folder and its subfolders.

    Args:
        folder: the folder; its photographs are sorted by name.

    Raises:
        InputError: As for :func:`find_photographs`.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.place = f"the folder {folder}"
        self._names = find_photographs(self.folder)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, record: int) -> str:
        """Return the path of a file."""
        return str(self.folder / self._names[record])

    def identity(self) -> str:
        """Return a hash of the file names, relative to the folder, and the file sizes."""
        found = hashlib.sha256()
        for name in self._names:
            try:
                size = (self.folder / name).stat().st_size
            except OSError:  # counted as an empty file, which cannot be decoded either
                size = 0
            found.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def decode(self, record: int, at_least: int) -> np.ndarray:
        """Decode one photograph; see :meth:`nstjax.data.source.Source.decode`."""
        path = self.folder / self._names[record]
        return to_bytes(decode_image(path, str(path), at_least))
