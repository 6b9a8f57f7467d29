"""Prepares a run: the device, the cache of compiled programs, the output folder, and warnings."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nstjax.cli.flags import with_flags
from nstjax.cli.many import beside_others
from nstjax.errors import InputError, InputWarning
from nstjax.files import make_folder
from nstjax.heap import fill_holes_after_compilations
from nstjax.programs import enable_compilation_cache


def check_device() -> None:
    """Start JAX; the holes that its compilations leave in a kept heap are filled (:mod:`nstjax.heap`).

    Raises:
        InputError: If JAX finds no device, for example because JAX_PLATFORMS names an unavailable one.
    """
    import jax

    fill_holes_after_compilations()
    try:
        jax.devices()
    except Exception as error:  # starting a backend may raise any exception, even AssertionError
        raise InputError("JAX finds no device to run on: check JAX_PLATFORMS, or set it to cpu") from error


def keep_programs(wanted: bool, quiet: bool = False) -> None:
    """Enable the persistent compilation cache if ``wanted``.

    If the cache cannot be used, print a note, unless ``quiet``.
    """
    if wanted and (refused := enable_compilation_cache()) is not None and not quiet:
        print(f"note: {refused}", file=sys.stderr)


def make_output_folder(folder: Path) -> None:
    """Create the output folder of several pictures. Call it after all other checks.

    Raises:
        InputError: If the folder cannot be created or written.
    """
    from nstjax.images.encode import check_output  # imports JAX, so it is not imported at the start

    make_folder(folder)
    check_output(folder / "picture.png")


@contextlib.contextmanager
def warnings_as_notes(say: Callable[[str], None]) -> Iterator[None]:
    """Pass each distinct :class:`InputWarning` in the block to ``say`` once, with flags in place of fields.

    In a thread that makes a picture beside others it does nothing, because the filters belong to the process; the block
    around all pictures receives the warnings.

    Args:
        say: function that shows a line of text.
    """
    if beside_others():
        yield
        return
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
