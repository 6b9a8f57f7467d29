"""File locks between processes. The system releases a lock when its process ends."""

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
    """Lock an open file. Return False if another process has locked it.

    Raises:
        OSError: If the file system does not support locks.
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
    """Open and lock a lock file, and return its file descriptor, or None if another process has locked it.

    The last owner may delete the file in between; then the function tries again.

    Raises:
        OSError: If the file cannot be created or the file system does not support locks.
    """
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = _try_lock(handle)
            # If the file was deleted between opening and locking, no other process can see the lock.
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
    """Hold the lock of a path during the block. The lock is the hidden file ``.NAME.lock`` beside the path.

    When a process ends, even by a kill, its lock is released. If the folder cannot be written or the file system does
    not support locks, the block runs without a lock.

    Args:
        path: the file or folder that only one process may write at a time.
        busy: error message if another process holds the lock; None waits until the lock is free.

    Yields:
        True if the lock is held, False if there is none.

    Raises:
        InputError: If another process holds the lock and ``busy`` is given.
    """
    target = Path(os.path.realpath(path))
    file = target.parent / f".{target.name}.lock"  # with_name would refuse the root folder, which has no name
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
            if os.name == "nt":  # Windows cannot delete an open file
                os.close(handle)
            with contextlib.suppress(OSError):
                file.unlink()
            if os.name != "nt":
                os.close(handle)
