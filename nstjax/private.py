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
    """Return whether a file belongs to this user; always true on Windows, whose files have no user number."""
    return not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()


def private_folder(path: Path) -> None:
    """Create a folder with mode 0700, or give an existing one of this user that mode.

    Raises:
        Refused: it is a symbolic link, no folder, or belongs to another user; or it cannot be created or changed.
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
            if stat.S_IMODE(path.lstat().st_mode) & _OTHERS_CAN_WRITE:  # file systems without modes
                raise Refused(f"others can write to {path}")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error


@functools.cache
def temporary_home() -> Path:
    """Return a private folder that replaces the home folder of a user without one, and warn once.

    A container that runs as a user number without an entry in ``/etc/passwd`` has no home folder. The folder is
    ``nstjax-UID`` in the system's folder for temporary files, so the next run finds it again. If another user owns
    that name, it is a new folder for this process.
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
    """Set ``$HOME`` to :func:`temporary_home` where this user has no home folder, for other libraries' sake."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(temporary_home())
