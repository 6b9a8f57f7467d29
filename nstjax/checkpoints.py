"""Orbax checkpoints: a tree of arrays with a JSON record. No other module imports Orbax.

A checkpoint is written under a temporary name and renamed when it is complete. If the process is killed at any
moment, the last complete checkpoint remains.
"""

import contextlib
import functools
import glob
import logging
import os
import re
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from nstjax.digests import Damaged, opened, sealed, tree_digest
from nstjax.errors import InputError, OutputError, first_line
from nstjax.locks import lock
from nstjax.plain import read_json


@functools.cache
def _silence() -> None:
    """Suppress the messages that Orbax prints, in threads and event loops, about errors that are also raised here."""
    orbax = f"{os.sep}orbax{os.sep}"
    logging.getLogger("absl").addFilter(lambda record: orbax not in record.pathname)
    logging.getLogger("asyncio").addFilter(lambda record: "never retrieved" not in record.getMessage())
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        # After a failed write Orbax closes its event loop, but tensorstore's threads still report other failures to it.
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook


def _orbax() -> Any:
    """Import Orbax. The import takes a second, so it happens on first use."""
    import orbax.checkpoint as ocp

    _silence()
    return ocp


def _alone(ocp: Any) -> Any:
    """Return a checkpointer that involves this process only.

    By default Orbax waits for all processes of a training run.
    """
    import jax

    index = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=index, active_processes={index}, barrier_sync_key_prefix=f"process{index}"
    )
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=options)
    )
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _is_first_process() -> bool:
    import jax

    return bool(jax.process_index() == 0)


PARTS = {"tree", "record", "_CHECKPOINT_METADATA", "commit_success.txt"}  # names in a checkpoint's directory


def _cannot_write(path: Path, error: BaseException) -> OutputError:
    number = re.search(r"os_error_code='(\d+)'", str(error))  # tensorstore's messages contain it
    reason = os.strerror(int(number[1])) if number else getattr(error, "strerror", None)
    return OutputError(
        f"cannot write the checkpoint {path}: {reason or first_line(error)}; name another folder or free some space"
    )


def is_checkpoint(path: Path) -> bool:
    """Return True if a directory contains a complete checkpoint, as :func:`save` writes it."""
    _put_back(path)
    return _is_whole(path)


def _is_whole(path: Path) -> bool:
    return (path / "record").is_dir() and (path / "tree").is_dir()


def _aside(path: Path) -> Path:
    """Return the path to which the old checkpoint is renamed while a new one replaces it."""
    return path.with_name(f".{path.name}.old")


def _put_back(path: Path) -> None:
    """Rename the old checkpoint back if a process was killed between the two renames of :func:`_swap`."""
    path = path.absolute()  # Path(".").name is empty
    if not path.name or not _is_whole(_aside(path)) or path.exists():
        return
    with lock(path):  # another process may be between the two renames
        if _is_whole(_aside(path)) and not path.exists():
            with contextlib.suppress(OSError):  # the folder may be read-only
                _aside(path).rename(path)


def save(path: Path, tree: Any, record: dict[str, Any]) -> None:
    """Write a tree of arrays and a JSON record to the directory ``path``, replacing an existing checkpoint.

    Hashes of the arrays and of the record are stored with the record; :func:`load` checks them.

    Args:
        path: the directory to write. Missing parent directories are created.
        tree: a pytree of arrays.
        record: a JSON object.

    Raises:
        InputError: If ``path`` exists and is not a checkpoint.
        OutputError: If the directory cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays a link, and the checkpoint is written where it points
    if path.exists() and not is_checkpoint(path):
        raise InputError(
            f"{path} is there already and is not a checkpoint of nstjax: choose another name or folder"
        )
    record = sealed(tree, record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    with lock(path) as alone:
        # Orbax would delete the old checkpoint before it writes; here the old one is deleted when the new one is
        # complete. The temporary name is unique because some file systems have no locks.
        fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")
        try:
            _write(fresh, tree, record)
            _swap(fresh, path)
        except (OSError, ValueError) as error:  # tensorstore reports a full disk as a ValueError
            raise _cannot_write(path, error) from error
        finally:
            # With the lock held, also delete what killed processes left behind.
            own = f".{path.name}.new" if alone else fresh.name
            _remove_all(path.parent, f"{glob.escape(own)}*")


def _remove_all(folder: Path, pattern: str) -> None:
    """Delete the directories of unfinished checkpoints."""
    for _ in range(20):  # after a failed write, threads may still create files for other arrays
        found = list(folder.glob(pattern))
        for unfinished in found:
            shutil.rmtree(unfinished, ignore_errors=True)
        if not found:
            return
        time.sleep(0.05)


def _write(fresh: Path, tree: Any, record: dict[str, Any]) -> None:
    ocp = _orbax()
    with _alone(ocp) as checkpointer:
        args = ocp.args.Composite(tree=ocp.args.StandardSave(tree), record=ocp.args.JsonSave(record))
        checkpointer.save(fresh, args=args, force=True)
    for told in fresh.rglob("commit_success.txt"):
        told.unlink()  # contains a path of this machine; the rename already marks the checkpoint as complete


def _swap(fresh: Path, path: Path) -> None:
    """Replace the old checkpoint by a new one. The old one is renamed before it is deleted.

    If it were deleted in place, a kill during the deletion would leave an incomplete checkpoint at ``path``.
    """
    shutil.rmtree(_aside(path), ignore_errors=True)
    if path.exists():
        path.rename(_aside(path))
    fresh.rename(path)
    shutil.rmtree(_aside(path), ignore_errors=True)


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read the checkpoint that :func:`save` wrote to the directory ``path``.

    Returns:
        The tree, with NumPy arrays as leaves, and the record.

    Raises:
        InputError: If the checkpoint is missing, incomplete or damaged, or a hash does not match. Checkpoints of
            earlier versions may lack the hash of the record or both hashes; a missing hash is not checked.
    """
    path = path.absolute()
    if not is_checkpoint(path):
        raise InputError(f"{path} is not a checkpoint of nstjax: it has no 'tree' and 'record' inside")
    record, digest = _read_record(path)
    try:
        ocp = _orbax()
        with _alone(ocp) as checkpointer:
            tree = checkpointer.restore(path, args=ocp.args.Composite(tree=ocp.args.PyTreeRestore()))["tree"]
        damaged = digest is not None and digest != tree_digest(tree)
    except Exception as error:  # damaged bytes make Orbax raise nearly any exception
        raise InputError(f"cannot read the checkpoint {path}: it is damaged; make it again") from error
    if damaged:
        raise InputError(
            f"the checkpoint {path} is damaged: its arrays do not have their hash; make it again"
        )
    return tree, record


def load_record(path: Path) -> dict[str, Any]:
    """Read the JSON record of a checkpoint, without its arrays.

    Raises:
        InputError: If the record is missing, cannot be read, or does not match its hash.
    """
    _put_back(path)
    return _read_record(path)[0]


def _read_record(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the JSON record, checked against its hash, and the stored hash of the arrays, or None."""
    try:
        record = read_json(path / "record" / "metadata")
        if not isinstance(record, dict):
            raise ValueError("a record is an object")
        return opened(record)
    except Damaged as error:
        raise InputError(
            f"the checkpoint {path} is damaged: its record does not match its hash; make it again"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a whole checkpoint of nstjax: its record cannot be read") from error


def _numbers(directory: Path) -> list[int]:
    """Return the numbers of the complete checkpoints in a folder, in ascending order."""
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    numbers = [int(name) for name in names if name.isdecimal() and str(int(name)) == name]
    return sorted(number for number in numbers if is_checkpoint(directory / str(number)))


def _has_only_parts(entry: Path) -> bool:
    """Return True if a directory contains nothing but parts of a checkpoint, as a kill or a partial copy leaves it."""
    return {part.name for part in entry.glob("*")} <= PARTS


def _remove_incomplete(directory: Path) -> None:
    """Delete the numbered checkpoints in a folder that lack a part, such as after a partial copy.

    Orbax would count them, and refuse to write checkpoints of their numbers. A folder with any other file in it is the
    user's and is not deleted.
    """
    for entry in directory.glob("[0-9]*"):
        if entry.is_dir() and not is_checkpoint(entry) and _has_only_parts(entry):
            shutil.rmtree(entry, ignore_errors=True)


class Series:
    """The numbered checkpoints of one run in a folder. Only the newest is kept.

    Args:
        directory: the folder. The first :meth:`save` creates it; its parent must exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def steps(self) -> list[int]:
        """Return the numbers of the complete checkpoints, in ascending order."""
        return _numbers(self.directory)

    def save(self, step: int, tree: Any, record: dict[str, Any]) -> None:
        """Write checkpoint ``step``, then delete all others; arguments and errors as for :func:`save`."""
        older = self.steps()
        try:
            # Without parents: if the user has deleted the run's folder, it is not created again.
            self.directory.mkdir(exist_ok=True)
        except OSError as error:
            raise _cannot_write(self.directory / str(step), error) from error
        save(self.directory / str(step), tree, record)
        for number in older:
            if number != step:
                shutil.rmtree(self.directory / str(number), ignore_errors=True)

    def record(self, step: int) -> dict[str, Any]:
        """Return the record of checkpoint ``step``; errors as for :func:`load_record`."""
        return load_record(self.directory / str(step))

    def load_newest(self) -> tuple[Any, dict[str, Any]] | None:
        """Return the tree and record of the newest complete checkpoint, or None; errors as for :func:`load`."""
        steps = self.steps()
        return load(self.directory / str(steps[-1])) if steps else None

    def remove(self) -> None:
        """Delete all checkpoints, and the folder if it is then empty."""
        for entry in [
            *self.directory.glob("[0-9]*"),
            *self.directory.glob(".*.new*"),
            *self.directory.glob(".*.old"),
        ]:
            # A kill may have left a checkpoint half deleted. A folder with any other file in it is the user's.
            if entry.name.startswith(".") or is_checkpoint(entry) or _has_only_parts(entry):
                shutil.rmtree(entry, ignore_errors=True)
        for left in self.directory.glob(".[0-9]*.lock"):  # lock files of processes that were killed
            left.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()


class Course:
    """The checkpoints of a long run, written asynchronously and atomically; a policy selects which are kept.

    In a run with several processes, all of them call every method, and the first process writes.

    Args:
        directory: the folder. The first :meth:`save` creates it.
        keep: number of newest checkpoints to keep.
        keep_period: checkpoints whose number is a multiple of this are also kept.
    """

    def __init__(self, directory: Path, keep: int = 2, keep_period: int | None = None) -> None:
        self.directory = directory.absolute()
        self._policy = {"max_to_keep": keep, "keep_period": keep_period}
        self._manager: Any = None

    def _open(self, ocp: Any) -> Any:
        if self._manager is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            if _is_first_process():
                _remove_incomplete(self.directory)
            options = ocp.CheckpointManagerOptions(
                **self._policy, create=False, enable_async_checkpointing=True, cleanup_tmp_directories=True
            )
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        return self._manager

    def steps(self) -> list[int]:
        """Return the numbers of the complete checkpoints, in ascending order."""
        return _numbers(self.directory)

    def save(self, step: int, tree: dict[str, Any], record: dict[str, Any]) -> None:
        """Wait for the previous write, copy the arrays of ``tree``, start to write them and ``record``, and return.

        Raises:
            OutputError: If this checkpoint or the previous one cannot be written.
        """
        record = sealed(tree, record)
        try:
            ocp = _orbax()
            args = ocp.args.Composite(tree=ocp.args.StandardSave(tree), record=ocp.args.JsonSave(record))
            self._open(ocp).save(step, args=args, force=True)
        except (OSError, ValueError) as error:
            raise _cannot_write(self.directory / str(step), error) from error

    def wait(self) -> None:
        """Wait until all checkpoints are on disk; errors as for :meth:`save`."""
        if self._manager is not None:
            try:
                self._manager.wait_until_finished()
            except (OSError, ValueError) as error:
                raise _cannot_write(self.directory, error) from error

    def load_newest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the tree and record of the newest complete checkpoint, or None; errors as for :func:`load`."""
        steps = self.steps()
        return load(self.directory / str(steps[-1])) if steps else None

    def close(self) -> None:
        """Wait for the last write and end the threads; errors as for :meth:`save`.

        Files of a checkpoint that could not be written are deleted, because they would take space on a full disk.
        """
        try:
            self.wait()
        finally:
            manager, self._manager = self._manager, None
            if manager is not None:
                with contextlib.suppress(OSError, ValueError):  # wait has already raised it
                    manager.close()
                if _is_first_process():
                    _remove_all(self.directory, "*.orbax-checkpoint-tmp*")
