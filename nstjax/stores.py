"""Finds the installed stores of weights and of trained generators."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nstjax.checkpoints import is_checkpoint, load_record
from nstjax.errors import InputError
from nstjax.plain import checked


def find_stores(
    folders: Iterable[Path], kind: str, form: Any, damaged: list[Path] | None
) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Find the stores of one kind in several folders.

    Args:
        folders: folders to search. If two stores have the same name, the one in the earlier folder is returned.
        kind: the value of ``"kind"`` in the stores' records.
        form: TypedDict of such a record; see :func:`nstjax.plain.checked`.
        damaged: list that receives the stores that are not valid and the folders that cannot be listed; None ignores them.

    Returns:
        A dict from each store's name to its path and record.
    """
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    bad: list[Path] = [] if damaged is None else damaged
    for folder in folders:
        try:
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
        except OSError:
            bad.append(folder)
            continue
        for path in paths:
            if path.name.startswith("."):  # a store that another process is writing
                continue
            try:
                if not is_checkpoint(path):
                    continue
                record = load_record(path)
                if record.get("kind") == kind:
                    found.setdefault(path.name, (path, checked(record, form, "its record")))
            except (InputError, OSError):
                bad.append(path)
    return found
