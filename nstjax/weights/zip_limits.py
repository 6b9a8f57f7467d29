"""Checks that the members of a zip archive are not much larger than the archive."""

import zipfile
from pathlib import Path
from typing import BinaryIO

from nstjax.errors import InputError

# Random-like float32 values shrink by a tenth; a network of zeros, or a zip bomb, by a factor of 1000.
EXPANSION, ALLOWANCE = 8, 2**26


def open_zip(path: Path, file: BinaryIO | None = None) -> zipfile.ZipFile:
    """Open an archive for reading.

    Args:
        path: the archive.
        file: its content, where it is not in a file of its own; ``path`` is then for messages alone.

    Raises:
        InputError: its members, as declared (more than that is never read from them), are together larger than
            ``EXPANSION`` times the archive and ``ALLOWANCE`` bytes.
        zipfile.BadZipFile, NotImplementedError: it is damaged.
    """
    archive = zipfile.ZipFile(path if file is None else file)
    if file is None:
        size = path.stat().st_size
    else:
        size = file.seek(0, 2)
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > EXPANSION * size + ALLOWANCE:
        archive.close()
        raise InputError(
            f"{path} has {size} bytes and would unpack to {unpacked}, which weights do not: fetch it again from its "
            f"publisher"
        )
    return archive
