"""Files: their hashes, writing them whole or not at all, and the folders where nstjax keeps its own."""

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

from nstjax.errors import InputError

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


def cache_folder() -> Path:
    """The user's cache: ``$NSTJAX_CACHE``, or what the platform prescribes."""
    override = os.environ.get("NSTJAX_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("nstjax")


def state_folder() -> Path:
    """The user's state: ``$NSTJAX_STATE``, or what the platform prescribes (``~/.local/state/nstjax`` on Linux)."""
    override = os.environ.get("NSTJAX_STATE")
    return Path(override) if override else platformdirs.user_state_path("nstjax")


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
