"""``--model``: finds and lists trained generators."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from nstjax.cli.pictures import print_damaged
from nstjax.errors import InputError
from nstjax.generators.store import Generator, installed_generators, load_generator
from nstjax.generators.styles import select_style, style_names


def installed_names() -> str:
    """Return the names of the installed generators, as the end of a message."""
    names = ", ".join(installed_generators())
    return (
        f"installed are {names}"
        if names
        else "none is installed; nstjax train makes one, whose folder it takes"
    )


def the_model(spec: str | None) -> Generator:
    """Load the generator named by ``--model``.

    Args:
        spec: the value of ``--model``, or None.

    Raises:
        InputError: If ``--model`` is missing, or the generator cannot be loaded.
    """
    if not spec:
        raise InputError(f"--model is missing: name a trained generator with it; {installed_names()}")
    return load_generator(spec)


def in_style(generator: Generator, style: str | None, model: str) -> Generator:
    """Return the generator of one style that ``--style`` selects.

    Args:
        generator: the generator of ``--model``.
        style: the value of ``--style``, or None.
        model: the value of ``--model``, for the message.

    Raises:
        InputError: If the generator has several styles and none is selected, or not the selected one.
    """
    if style is not None:
        return select_style(generator, style)
    if generator.config.styles > 1:
        names = ", ".join(f"{number} {name}" for number, name in enumerate(style_names(generator), 1))
        raise InputError(f"--style is missing: the styles of --model {model} are {names}")
    return generator


def list_models() -> None:
    """Print the installed generators."""
    damaged: list[Path] = []
    found = installed_generators(damaged)
    print_damaged(damaged)
    if not found:
        print(f"no generator: {installed_names()}")
        return
    table = Table("name", "network", "installed in", "what it is")
    for name, (path, record) in found.items():
        config = record["config"]
        network = f"{config.get('kind', '?')}, {config.get('norm', '?')} norm"
        table.add_row(name, network, str(path), _about(record))
    Console(markup=False).print(table)


def _about(record: dict[str, Any]) -> str:
    """Return the names of the style images and the number of training steps, as far as the record contains them."""
    style, styles = record.get("style", ""), record.get("styles")
    if isinstance(style, dict):
        style = style.get("name") or Path(str(style.get("path", ""))).name
    if isinstance(styles, list) and len(styles) > 1:
        names = [str(entry.get("name", "")) if isinstance(entry, dict) else "" for entry in styles]
        style = ", ".join(f"{number} {name}".strip() for number, name in enumerate(names, 1))
    steps = record.get("steps")
    return str(style) + (f"; {steps} steps" if isinstance(steps, int) else "")


def digest(generator: Generator) -> str:
    """Return the SHA-256 of a generator's weights (names and float32 values), in hexadecimal digits."""
    found = hashlib.sha256()
    for where, leaf in jax.tree_util.tree_leaves_with_path(generator.variables):
        found.update(jax.tree_util.keystr(where).encode())
        found.update(np.ascontiguousarray(leaf, np.float32).tobytes())
    return found.hexdigest()
