"""From arguments to option records, by tyro; its boxes of errors become one sentence."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from nstjax.errors import InputError

T = TypeVar("T")

_CONFIG = (tyro.conf.OmitArgPrefixes,)


def _sentence(box: str, prog: str) -> str:
    """What stands in tyro's box, up to its first rule, on one line."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        if text.startswith(("─", "╰")):
            break
        lines.append(text)
    # A record's own check (``__post_init__``) names the option already.
    text = re.sub(r"^Error parsing (settings|objective|optimizer|network): ", "", " ".join(lines))
    return f"{text.rstrip('.')} (see {prog} --help)"


def parse(kind: type[T], arguments: Sequence[str], prog: str, default: T | None = None) -> T:
    """Parse arguments to a record of ``kind``.

    Raises:
        InputError: they cannot be parsed; the message says which and why.
        SystemExit: with code 0, after ``--help``.
    """
    statistic = value_of(arguments, "--style-statistic")
    if statistic is not None and ":" in statistic:
        from nstjax.losses.statistics import import_statistic  # JAX, which --help does without

        import_statistic(statistic)
    wants_help = any(argument in ("-h", "--help") for argument in arguments)
    if wants_help:
        result: Any = tyro.cli(kind, args=arguments, prog=prog, default=default, config=_CONFIG)
        return result
    # An encoding lets tyro draw its box as it does on a terminal; a plain StringIO has none.
    captured = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with contextlib.redirect_stderr(captured), contextlib.redirect_stdout(captured):
            result = tyro.cli(kind, args=arguments, prog=prog, default=default, config=_CONFIG)
    except SystemExit as error:
        captured.seek(0)
        raise InputError(_sentence(captured.read(), prog)) from error
    return result


def value_of(arguments: Sequence[str], flag: str) -> str | None:
    """The value of a flag that decides the defaults of the others, found before they are parsed."""
    found = None
    for i, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == flag and i + 1 < len(arguments):
            found = arguments[i + 1]  # the last one counts, as it does to the parser
        elif argument.startswith(f"{flag}="):
            found = argument.removeprefix(f"{flag}=")
    return found


def hyphens(argument: str) -> str:
    """An option with the hyphens of its help; the parser takes underscores too."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value


def flags(arguments: Sequence[str]) -> set[str]:
    """The options that are named, whatever their values."""
    return {argument.split("=")[0] for argument in arguments if argument.startswith("--")}
