"""Parses arguments to dataclasses by tyro, and turns its error boxes into one sentence."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tyro

from nstjax.cli.help import HELP, HELP_ALL, asked, help_for, options_of, show_help
from nstjax.errors import InputError, within

T = TypeVar("T")

MOST_FLOAT, MOST_INTEGER = 1e30, 2**32 - 1  # far from the end of float32; seeds have 32 bits
_CONFIG = (tyro.conf.OmitArgPrefixes,)


# What tyro says, and a sentence that names the option and what it takes.
_SENTENCES = (
    # A record's own check (``__post_init__``) names the field already.
    (r"^Error parsing [a-z_]+: ", ""),
    (r"^Error parsing (\S+): invalid literal for int\(\) .*?: (.*)$", r"\1 is \2: it must be a whole number"),
    (r"^Error parsing (\S+): Exceeds the limit .*$", r"\1 has too many digits"),
    (r"^Error parsing (\S+): could not convert string to float: (.*)$", r"\1 is \2: it must be a number"),
    (
        r"^Error parsing (\S+): no type matching (?:\{None\}\|)?\{?(.*?)\}? could be instantiated from \[(.*?)\]\..*$",
        r"\1 is \3: it must be \2",
    ),
    (r"it must be INT$", "it must be a whole number"),
    (r"it must be FLOAT$", "it must be a number"),
    (r"^Missing value for argument '(\S+)'\. Expected \d+ values\.?$", r"\1 has no value"),
    (r"^Missing from [a-z ]*: (\S+) .*$", r"\1 is missing"),
)


def _sentence(box: str) -> str:
    """Return the text of tyro's error box, up to its first rule, on one line without a full stop."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        if text.startswith(("─", "╰")):
            break
        lines.append(text)
    text = " ".join(lines)
    for pattern, sentence in _SENTENCES:
        text = re.sub(pattern, sentence, text)
    return text.rstrip(".")


def _unknown_option(sentence: str, kind: type, prog: str) -> str:
    """Return the message about an option that does not exist, with the option that has the most similar name.

    Args:
        sentence: the parser's message; one about anything else is returned as it is.
        kind: the options class.
        prog: the command.
    """
    found = re.match(r"Unrecognized options: (-[^\s,=]+)", sentence)
    if found is None:
        return sentence
    flags = [option.flag for option in options_of(kind) if not option.is_positional]
    near = difflib.get_close_matches(found[1], flags, 1, 0.75)
    meant = f": did you mean {near[0]}?" if near else ""
    return f"{prog} has no option {found[1]}{meant}"


def import_own_statistic(given: Mapping[str, str | None]) -> None:
    """Import the statistic of ``--style-statistic module:Name``.

    Call it before run records are read or arguments are parsed: both may contain the name.

    Args:
        given: the options on the command line, from :func:`scan`.

    Raises:
        InputError: If the statistic cannot be imported.
    """
    statistic = given.get("--style-statistic")
    if statistic is not None and ":" in statistic:
        from nstjax.losses.statistics import import_statistic  # JAX, which --help does without

        import_statistic(statistic)


def parse(
    kind: type[T],
    arguments: Sequence[str],
    prog: str,
    default: T | None = None,
    unset: Mapping[str, str] | None = None,
) -> T:
    """Parse arguments to a record of ``kind``.

    Args:
        kind: the options class.
        arguments: the arguments after the command's name.
        prog: the command, for messages and help.
        default: an instance whose values are the defaults, or None.
        unset: for the help, see :func:`nstjax.cli.help.show_help`.

    Raises:
        InputError: If they cannot be parsed, or a number is out of range; the message says which and why.
        SystemExit: With code 0, after ``--help`` or ``--help-all``.
    """
    help_flag = asked(arguments)
    if help_flag is not None:
        show_help(kind, prog, default, help_flag == HELP_ALL, unset)
    # An encoding lets tyro draw its box as it does on a terminal; a plain StringIO has none.
    captured = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    try:
        with contextlib.redirect_stderr(captured), contextlib.redirect_stdout(captured):
            result: Any = tyro.cli(kind, args=arguments, prog=prog, default=default, config=_CONFIG)
    except SystemExit as error:
        captured.seek(0)
        sentence = _unknown_option(_sentence(captured.read()), kind, prog)
        raise InputError(f"{sentence} (see {prog} {help_for(kind, sentence)})") from error
    check_numbers(result)
    parsed: T = result
    return parsed


def check_numbers(options: Any) -> None:
    """Raise :class:`InputError` for a number that no option can use: not finite, or too large for JAX."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        flag = f"--{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            check_numbers(value)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not abs(number) <= MOST_FLOAT:
                raise InputError(f"{flag} is {number}: it must be a finite number, at most {MOST_FLOAT:g}")
            if isinstance(number, int):
                within(field.name, number, -MOST_INTEGER, MOST_INTEGER)


def scan(arguments: Sequence[str]) -> dict[str, str | None]:
    """The options that are given, before they are parsed: some decide the defaults of the others.

    Args:
        arguments: of a command line, its options with hyphens.

    Returns:
        For each option the argument after it, or None; of an option that is given twice the last, as for the parser.
    """
    found: dict[str, str | None] = {}
    for argument, after in itertools.zip_longest(arguments, arguments[1:]):
        if argument == "--":
            break
        if argument.startswith("-"):
            flag, equals, value = argument.partition("=")
            found[flag] = value if equals else after
    return found


Action = Callable[[Sequence[str], str], None]
"""An action of a command: takes the arguments after its name, and the program's name for messages."""


def run_action(command: str, usage: str, actions: Mapping[str, Action], arguments: Sequence[str]) -> int:
    """Run the action that the first argument names, or print the usage; returns the exit code.

    Raises:
        InputError: If there is no such action, or its input is bad.
    """
    if not arguments or arguments[0] in (*HELP, HELP_ALL):
        print(usage, end="")
        return 0
    action = actions.get(arguments[0])
    if action is None:
        raise InputError(f"{command} has no action {arguments[0]!r}: the actions are {', '.join(actions)}")
    action(arguments[1:], f"{command} {arguments[0]}")
    return 0


def hyphens(argument: str) -> str:
    """An option with the hyphens of its help; the parser takes underscores too."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value
