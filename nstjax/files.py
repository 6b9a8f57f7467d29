"""Hashes of files, atomic writes, and nstjax's own folders."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from nstjax.errors import InputError, OutputError
from nstjax.private import temporary_home

TEMPORARY = ".nstjax."  # beginning of a file's name while it is written
RUN_RECORD, METRICS = "train.json", "metrics.jsonl"  # in the folder of a training run


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal hash of a file's bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error


@contextlib.contextmanager
def replacing(path: Path, private: bool = False) -> Iterator[Path]:
    """A temporary file beside ``path`` that replaces it at the end of the block; after an error it is deleted.

    Where the file system refuses to rename (a file that is itself a mount point), the content is copied instead.

    Args:
        path: the file to write. If it is a symbolic link, the file that it points to is replaced.
        private: for caches: keep mode 0600, replace a symbolic link itself, and neither copy nor wait for the disk.

    Raises:
        OSError: the file cannot be written.
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
        umask = os.umask(0)
        os.umask(umask)
        with contextlib.suppress(OSError):  # CIFS and some FUSE file systems have no modes
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
    """Wait until a file is on the disk, where the file system has a way to say so."""
    with path.open("r+b") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; see :func:`replacing`.

    Raises:
        OutputError: it cannot be written, for example because the disk is full.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error that says why a file cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror}; free some space or choose another place")


def check_replaceable(path: Path) -> None:
    """Check that :func:`replacing` would succeed, without changing an existing file.

    Raises:
        InputError: it would not.
    """
    target = Path(os.path.realpath(path))
    try:
        # Permissions do not show a read-only disk, and root ignores them: only writing does.
        with tempfile.NamedTemporaryFile(prefix=TEMPORARY, dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"the output's folder {path.parent} may not be written: choose another") from error
    if not target.exists():
        return
    try:
        with target.open("r+b"):  # enough for a copy, where the file cannot be renamed over
            pass
    except OSError as error:
        # Renaming needs no permission on the file, except in a sticky folder such as /tmp. EPERM: it is immutable.
        folder = target.parent.stat()
        sticky = folder.st_mode & stat.S_ISVTX and os.geteuid() not in (target.stat().st_uid, folder.st_uid)
        if error.errno != errno.EACCES or sticky:
            raise InputError(f"the output {path} may not be written: choose another") from error


def save_elsewhere(path: Path, write: Callable[[Path], None], what: str) -> None:
    """Call ``write(path)``; if that fails, call it for a new folder in the temporary or home folder.

    Args:
        path: the file or folder to write.
        write: writes it; raises ``InputError`` or ``OSError``.
        what: the thing that is written, for the message.

    Raises:
        OutputError: it could not be written to ``path``; the message says where it is instead.
    """
    try:
        write(path)
    except (InputError, OSError) as error:
        reason = error if isinstance(error, InputError) else cannot_write(path, error)
        for folder in (tempfile.gettempdir, Path.home):
            try:
                place = Path(tempfile.mkdtemp(prefix="nstjax-", dir=folder())) / path.name
                write(place)
            except (InputError, OSError, RuntimeError):
                continue
            raise OutputError(f"{reason}; {what} is saved as {place}") from error
        raise OutputError(str(reason)) from error


def _user_folder(variable: str, default: Callable[[str], Path], name: str) -> Path:
    override = os.environ.get(variable)
    try:
        if override:
            return Path(override).expanduser()
        path = default("nstjax")
        if path.is_absolute():  # some releases of platformdirs leave the ~ in it instead of raising
            return path
    except RuntimeError as error:  # no home folder
        if override:
            raise InputError(
                f"{variable} is {override}, but the home folder that ~ stands for is unknown: give a whole path"
            ) from error
    return temporary_home() / name


def cache_folder() -> Path:
    """Return the user's cache: ``$NSTJAX_CACHE``, or the platform's default.

    A user without a home folder gets one in :func:`nstjax.private.temporary_home`.

    Raises:
        InputError: ``$NSTJAX_CACHE`` begins with ``~``, and the home folder that it means is unknown.
    """
    return _user_folder("NSTJAX_CACHE", platformdirs.user_cache_path, "cache")


def state_folder() -> Path:
    """Return the user's state: ``$NSTJAX_STATE``, or the platform's default (``~/.local/state/nstjax`` on Linux).

    Without a home folder, and errors, as :func:`cache_folder`.
    """
    return _user_folder("NSTJAX_STATE", platformdirs.user_state_path, "state")


def shipped_folder() -> Path:
    """Return the folder of checkpoints that come with the package: ``nstjax/ckpts`` of a wheel, ``ckpts`` of a checkout."""
    package = Path(__file__).parent
    return package / "ckpts" if (package / "ckpts").is_dir() else package.parent / "ckpts"


def store_folders(kind: str) -> tuple[Path, ...]:
    """Return the folders to search for stores, in order: ``ckpts/`` in the working directory, the cache, the package.

    Args:
        kind: the folder's name in the cache: ``"weights"`` or ``"models"``.
    """
    return Path("ckpts"), cache_folder() / kind, shipped_folder()
