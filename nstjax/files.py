"""Hashes of files, atomic writes, and the folders that nstjax uses."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import platformdirs

from nstjax.errors import InputError, OutputError
from nstjax.private import temporary_home

_umask_lock = threading.Lock()
TEMPORARY = ".nstjax."  # prefix of a temporary file's name
RUN_RECORD, METRICS = "train.json", "metrics.jsonl"  # file names in the folder of a training run


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        InputError: If the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place"
        ) from error


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hash of a file's bytes in hexadecimal digits.

    Args:
        path: the file.
        algorithm: a name that ``hashlib`` knows.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder and its subfolders, in bytes.

    Symbolic links are not followed. Files and folders that are deleted meanwhile are not counted.

    Args:
        folder: the folder. If it does not exist, the size is 0.
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # another process or thread may have deleted the file
                total += os.lstat(os.path.join(place, name)).st_size
    return total


@contextlib.contextmanager
def replacing(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces ``path`` at the end of the block; after an error delete it.

    If the file system refuses the rename (``path`` may itself be a mount point), the content is copied instead.

    Args:
        path: the file to write. If it is a symbolic link, the link's target is replaced.
        private: for caches: the file keeps mode 0600, a symbolic link itself is replaced, the content is never copied,
            and the function does not wait for the disk.

    Raises:
        OSError: If the file cannot be written.
    """
    target = path if private else Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=path.suffix.lower(), dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if private:
            os.replace(temporary, target)
            return
        _flush(temporary)
        with _umask_lock:  # between the two calls, other threads would create files that everyone can write
            umask = os.umask(0)
            os.umask(umask)
        with contextlib.suppress(OSError):  # CIFS and some FUSE file systems have no permission bits
            os.chmod(temporary, 0o666 & ~umask)
        try:
            os.replace(temporary, target)
        except OSError:
            if not target.is_file():
                raise
            shutil.copyfile(temporary, target)
            _flush(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _flush(path: Path) -> None:
    """Wait until a file is on the disk, if the file system supports ``fsync``."""
    with path.open("r+b") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; see :func:`replacing`.

    Raises:
        OutputError: If the file cannot be written, for example because the disk is full.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return an :class:`OutputError` whose message says why a file cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror}; free some space or choose another place")


def check_replaceable(path: Path) -> None:
    """Check that :func:`replacing` would succeed, without changing an existing file.

    Raises:
        InputError: If the folder or the file may not be written.
    """
    target = Path(os.path.realpath(path))
    try:
        # Permission bits do not show a read-only disk, and root ignores them, so this creates a file.
        with tempfile.NamedTemporaryFile(prefix=TEMPORARY, dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"the output's folder {path.parent} may not be written: choose another") from error
    if not target.exists():
        return
    try:
        with target.open("r+b"):  # then the content can be copied if the rename fails
            pass
    except OSError as error:
        # Renaming over a file needs no permission on it, except in a sticky folder such as /tmp. An immutable file
        # gives EPERM instead of EACCES.
        folder = target.parent.stat()
        sticky = folder.st_mode & stat.S_ISVTX and os.geteuid() not in (target.stat().st_uid, folder.st_uid)
        if error.errno != errno.EACCES or sticky:
            raise InputError(f"the output {path} may not be written: choose another") from error


saves_elsewhere: ContextVar[bool] = ContextVar("saves_elsewhere", default=True)
"""False if :func:`save_elsewhere` must not write to another folder, because nobody would find or delete the file there."""


def save_elsewhere(path: Path, write: Callable[[Path], None], what: str) -> None:
    """Call ``write(path)``; if it fails, call it for a new folder in the temporary folder or the home folder.

    Args:
        path: the file or folder to write.
        write: function that writes to the path that it receives; it raises ``InputError`` or ``OSError``.
        what: what is written, such as ``"the picture"``, for the message.

    Raises:
        OutputError: If writing to ``path`` failed. The message says where the output was saved instead, if it was.
    """
    try:
        write(path)
    except (InputError, OSError) as error:
        reason = error if isinstance(error, InputError) else cannot_write(path, error)
        for folder in (tempfile.gettempdir, Path.home) if saves_elsewhere.get() else ():
            fresh = None
            try:
                fresh = Path(tempfile.mkdtemp(prefix="nstjax-", dir=folder()))
                place = fresh / path.name
                write(place)
            except (InputError, OSError, RuntimeError):
                if fresh is not None:  # with what a failed write left in it
                    shutil.rmtree(fresh, ignore_errors=True)
                continue
            raise OutputError(f"{reason}; {what} is saved as {place}") from error
        raise OutputError(str(reason)) from error


def _user_folder(variable: str, default: Callable[[str], Path], name: str) -> Path:
    """Return the folder that an environment variable names, or the platform's default, or one in the temporary home."""
    override = os.environ.get(variable)
    try:
        if override:
            return Path(override).expanduser()
        path = default("nstjax")
        if path.is_absolute():  # without a home folder some releases of platformdirs return a path with ~
            return path
    except RuntimeError as error:  # no home folder
        if override:
            raise InputError(
                f"{variable} is {override}, but the home folder that ~ stands for is unknown: give a whole path"
            ) from error
    return temporary_home() / name


def cache_folder() -> Path:
    """Return the user's cache folder: ``$NSTJAX_CACHE``, or the platform's default.

    For a user without a home folder it is in :func:`nstjax.private.temporary_home`.

    Raises:
        InputError: If ``$NSTJAX_CACHE`` begins with ``~`` and the user has no home folder.
    """
    return _user_folder("NSTJAX_CACHE", platformdirs.user_cache_path, "cache")


def state_folder() -> Path:
    """Return the user's state folder: ``$NSTJAX_STATE``, or the platform's default.

    The default on Linux is ``~/.local/state/nstjax``. For a user without a home folder it is in
    :func:`nstjax.private.temporary_home`.

    Raises:
        InputError: If ``$NSTJAX_STATE`` begins with ``~`` and the user has no home folder.
    """
    return _user_folder("NSTJAX_STATE", platformdirs.user_state_path, "state")


def shipped_folder() -> Path:
    """Return the folder of the stores that come with nstjax: ``nstjax/ckpts`` in a wheel, ``ckpts`` in a checkout."""
    package = Path(__file__).parent
    return package / "ckpts" if (package / "ckpts").is_dir() else package.parent / "ckpts"


def store_folders(kind: str) -> tuple[Path, ...]:
    """Return the folders to search for stores, in order: ``ckpts/`` in the working directory, the cache, the package.

    Args:
        kind: name of the subfolder of the cache: ``"weights"`` or ``"models"``.
    """
    return Path("ckpts"), cache_folder() / kind, shipped_folder()
