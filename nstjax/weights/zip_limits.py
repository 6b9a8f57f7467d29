"""Checks that the members of a zip archive are not much larger than the archive."""

import zipfile
from pathlib import Path
from typing import BinaryIO

from nstjax.errors import InputError

# Compression shrinks float32 weights by about a tenth. It shrinks zeros, or a zip bomb, by a factor of 1000.
EXPANSION, ALLOWANCE = 8, 2**26


def open_zip(path: Path, file: BinaryIO | None = None) -> zipfile.ZipFile:
    """Open a zip archive for reading.

    Args:
        path: the archive.
        file: the archive as a stream, if it is not in a file of its own; ``path`` is then used only for messages.

    Raises:
        InputError: If the declared sizes of its members add up to more than ``EXPANSION`` times the size of the
            archive plus ``ALLOWANCE`` bytes. No more than the declared size is ever read from a member.
        zipfile.BadZipFile, NotImplementedError: If the archive is damaged or has an unsupported version.
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
