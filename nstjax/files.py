"""Files: their hashes, writing them whole or not at all, and the folders where nstjax keeps its own."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from nstjax.errors import InputError
from nstjax.private import temporary_home

TEMPORARY = ".nstjax."  # beginning of a file's name while it is written


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


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: whole or not at all.

    A symbolic link stays one: what it points to is replaced.

    Raises:
        InputError: it cannot be written, for example because the disk is full.
    """
    target = Path(os.path.realpath(path))
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise InputError(
            f"cannot write {path}: {error.strerror}; free some space or choose another place"
        ) from error


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
    """What comes with the package: ``nstjax/ckpts`` of an installed wheel, ``ckpts`` of a checkout."""
    package = Path(__file__).parent
    return package / "ckpts" if (package / "ckpts").is_dir() else package.parent / "ckpts"


def store_folders(kind: str) -> tuple[Path, ...]:
    """Where stores are looked for, in order: ``ckpts/`` under the working directory, the cache, the package.

    Args:
        kind: the folder's name in the cache: ``"weights"`` or ``"models"``.
    """
    return Path("ckpts"), cache_folder() / kind, shipped_folder()
