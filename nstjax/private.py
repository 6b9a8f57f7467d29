"""Folders that only the current user can read and write."""

import functools
import os
import stat
import tempfile
import warnings
from pathlib import Path

from nstjax.errors import InputWarning

_OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Refused(Exception):
    """A folder or key cannot be trusted or used; the message says why."""


def is_own(facts: os.stat_result) -> bool:
    """Return True if a file belongs to the current user; always True on Windows, which has no numeric user IDs.

    Args:
        facts: the file's status, from ``os.stat`` or a similar function.
    """
    return not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()


def private_folder(path: Path) -> None:
    """Create a folder with mode 0700, or change an existing folder of the current user to that mode.

    Missing parent folders are created with the default mode.

    Raises:
        Refused: If the path is a symbolic link or belongs to another user, if other users can write to it in spite of
            its mode, or if it cannot be created or changed, for example because it is a file.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            raise Refused(f"{path} is a symbolic link")
        if not is_own(facts):
            raise Refused(f"{path} belongs to another user")
        if os.name != "nt" and stat.S_IMODE(facts.st_mode) != 0o700:
            path.chmod(0o700)
            if stat.S_IMODE(path.lstat().st_mode) & _OTHERS_CAN_WRITE:  # file system without modes
                raise Refused(f"others can write to {path}")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error


@functools.cache
def temporary_home() -> Path:
    """Return a private folder to use instead of a missing home folder, and warn once.

    A container that runs as a user ID without an entry in ``/etc/passwd`` has no home folder. The returned folder is
    ``nstjax-UID`` in the system's temporary folder, so that the next run finds it again. If that name cannot be used
    safely, for example because another user owns it, the folder is a new one that only this process uses.
    """
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    path = Path(tempfile.gettempdir()) / f"nstjax-{user}"
    try:
        private_folder(path)
    except Refused:
        path = Path(tempfile.mkdtemp(prefix="nstjax-"))  # mode 0700
    warnings.warn(
        f"this user has no home folder, so {path} holds weights and compiled programs: set HOME, or NSTJAX_CACHE and "
        f"NSTJAX_STATE, to keep them elsewhere",
        InputWarning,
        stacklevel=2,
    )
    return path


def use_temporary_home() -> None:
    """Set ``$HOME`` to :func:`temporary_home` if the user has no home folder; other libraries need ``$HOME``."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(temporary_home())
