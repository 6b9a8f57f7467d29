"""Prepares a run: the device, cached programs, the output folder, and warnings."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nstjax.cli.flags import with_flags
from nstjax.errors import InputError, InputWarning
from nstjax.programs import enable_compilation_cache


def check_device() -> None:
    """Raise :class:`InputError` where JAX finds no device, for example where JAX_PLATFORMS names one in vain."""
    import jax

    try:
        jax.devices()
    except Exception as error:  # a backend's start may fail with anything, an assertion included
        raise InputError("JAX finds no device to run on: check JAX_PLATFORMS, or set it to cpu") from error


def keep_programs(wanted: bool, quiet: bool = False) -> None:
    """Keep compiled programs for the next run if ``wanted``; a note says so if the cache folder is refused."""
    if wanted and (refused := enable_compilation_cache()) is not None and not quiet:
        print(f"note: {refused}", file=sys.stderr)


def make_output_folder(folder: Path) -> None:
    """Make the folder of several pictures, after all other checks.

    Raises:
        InputError: it cannot be made or written.
    """
    from nstjax.images.encode import check_output  # JAX, which the start of every command does without

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place"
        ) from error
    check_output(folder / "picture.png")


@contextlib.contextmanager
def warnings_as_notes(say: Callable[[str], None]) -> Iterator[None]:
    """Pass each :class:`InputWarning` to ``say`` once, with flags for fields and without a line of source code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        plain, said = warnings.showwarning, set[str]()

        def show(message: Any, category: type[Warning], *where: Any) -> None:
            if not issubclass(category, InputWarning):
                plain(message, category, *where)
            elif str(message) not in said:
                said.add(str(message))
                say(f"note: {with_flags(str(message))}")

        warnings.showwarning = show  # type: ignore[assignment]
        yield
