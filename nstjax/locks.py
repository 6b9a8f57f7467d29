"""File locks between processes, which the system releases when their process ends."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from nstjax.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

POLL_S = 0.05


def _try_lock(handle: int) -> bool:
    """Lock an open file; returns False if another process has locked it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if os.name == "nt":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _acquire(file: Path) -> int | None:
    """Open and lock a file that may be deleted by its last owner; returns None if it is locked."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = _try_lock(handle)
            # Deleted between opening and locking: the lock would be on a file that nobody else sees.
            current = locked and os.path.exists(file) and os.path.samestat(os.fstat(handle), os.stat(file))
        except FileNotFoundError:
            current = False
        except OSError:
            os.close(handle)
            file.unlink(missing_ok=True)
            raise
        if current:
            return handle
        os.close(handle)
        if not locked:
            return None


@contextlib.contextmanager
def lock(path: Path, busy: str | None = None) -> Iterator[bool]:
    """Hold the lock of a path, the hidden file ``.NAME.lock`` beside it, during the block.

    The lock of a process that has ended, even by a kill, is free. Where the folder cannot be written or the file system
    has no locks, the block runs without one.

    Args:
        path: the file or folder that one process at a time may write.
        busy: the message if another process holds the lock; None waits for it.

    Yields:
        True if the lock is held, False where there can be none.

    Raises:
        InputError: another process holds the lock and ``busy`` is given.
    """
    target = Path(os.path.realpath(path))
    file = target.with_name(f".{target.name}.lock")
    handle: int | None = None
    with contextlib.suppress(OSError):
        while (handle := _acquire(file)) is None:
            if busy is not None:
                raise InputError(busy)
            time.sleep(POLL_S)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            if os.name == "nt":  # where an open file cannot be deleted
                os.close(handle)
            with contextlib.suppress(OSError):
                file.unlink()
            if os.name != "nt":
                os.close(handle)
