"""``nstjax cache``: shows the sizes of the cache's folders, or clears the cache."""

import json
import shutil
from collections.abc import Sequence

from nstjax.cli.options_weights import ClearOptions, SizesOptions
from nstjax.cli.parse import Action, parse, run_action
from nstjax.errors import InputError
from nstjax.files import cache_folder, folder_bytes

REGENERATED = {
    "xla": "compiled programs",
    "downloads": "unfinished downloads",
    "matplotlib": "font lists of matplotlib",
}
"""Subfolders of the cache that nstjax creates again when it needs them, with a description for the user."""
INSTALLED = {"weights": "installed weights", "models": "installed generators"}
_USAGE = """usage: nstjax cache ACTION ...

actions:
  sizes   show how large the cache is
  clear   delete compiled programs and other files that nstjax makes again when it needs them
"""


def sizes() -> dict[str, int]:
    """Return the size of each subfolder of the cache by name, in bytes."""
    return {name: folder_bytes(cache_folder() / name) for name in (*REGENERATED, *INSTALLED)}


def readable(count: int) -> str:
    """Return a number of bytes as text with a unit, such as ``"1.5 MB"``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _sizes(arguments: Sequence[str], prog: str) -> None:
    options = parse(SizesOptions, arguments, prog)
    found = sizes()
    if options.json:
        print(json.dumps({"folder": str(cache_folder()), "bytes": found}, indent=1))
        return
    print(cache_folder())
    for name, what in {**REGENERATED, **INSTALLED}.items():
        print(f"{name:11}{readable(found[name]):>10}  {what}")


def _clear(arguments: Sequence[str], prog: str) -> None:
    options = parse(ClearOptions, arguments, prog)
    freed = 0
    for name in (*REGENERATED, *INSTALLED) if options.all else REGENERATED:
        folder = cache_folder() / name
        if not folder.exists():
            continue
        size = folder_bytes(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:  # also for a symbolic link, which may point to one of the user's folders
            raise InputError(
                f"cannot delete {folder}: {error.strerror or error}; delete it by hand"
            ) from error
        freed += size
    print(f"deleted {readable(freed)} in {cache_folder()}")


CACHE_ACTIONS: dict[str, Action] = {"sizes": _sizes, "clear": _clear}


def run_cache(arguments: Sequence[str]) -> int:
    """Run ``nstjax cache``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid, or a folder cannot be deleted.
    """
    return run_action("nstjax cache", _USAGE, CACHE_ACTIONS, arguments)
