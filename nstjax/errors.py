"""The exceptions that become one sentence on the command line, and checks that raise them."""

import dataclasses
import typing
from typing import Any

MOST = 10**9
"""Largest count of anything: steps, iterations, pixels of a side. Beyond it int32 ends."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the file, field or parameter, and says what to do.

    Fields and parameters are in backticks; the command line shows the flag instead. It prints the message after
    ``nstjax: error:`` and exits with code 2. It is a ``ValueError``.
    """


class OutputError(InputError):
    """A file cannot be written, for example because the disk is full or a folder is gone.

    The command line prints it as it does an :class:`InputError`, and exits with code 1.
    """


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise :class:`InputError` unless ``value``, of the field or parameter ``name``, is one of ``allowed``."""
    if value not in allowed:
        raise InputError(f"`{name}` is {value!r}: it must be one of {', '.join(allowed)}")


def check_choices(record: Any, **names: str) -> None:
    """Raise :class:`InputError` for a field annotated with a ``Literal`` whose value is none of its names.

    Args:
        record: a dataclass.
        names: what a message calls a field, if not by its name.
    """
    for field in dataclasses.fields(record):
        if typing.get_origin(field.type) is typing.Literal:
            one_of(
                names.get(field.name, field.name), getattr(record, field.name), typing.get_args(field.type)
            )


def first_line(error: BaseException) -> str:
    """The first line of a foreign error's message, or the name of its class where it has none."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


_SMALLEST, _LARGEST = 2.0**-126, 2.0**127  # normal numbers of float32: XLA takes smaller ones for 0


def check_positive(name: str, value: float, most: float = _LARGEST) -> None:
    """Raise :class:`InputError` unless ``value`` of ``name`` is positive in float32, finite, and at most ``most``."""
    if not _SMALLEST <= value <= most:
        limit = "" if most == _LARGEST else f" and at most {most:g}"
        raise InputError(f"`{name}` is {value}: it must be a finite float32 number greater than 0{limit}")


def within(name: str, value: float, least: float, most: float, instead: str = "") -> None:
    """Raise :class:`InputError` unless ``least <= value <= most``; NaN is in no range.

    Args:
        name: of the field or parameter, such as ``size``.
        value: to check.
        least: smallest value allowed.
        most: largest value allowed.
        instead: what else is allowed, such as ``", or 0 for none"``; the caller has let it pass.
    """
    if not least <= value <= most:
        raise InputError(f"`{name}` is {value}: it must be between {least} and {most}{instead}")


class InputWarning(UserWarning):
    """Something in the input was corrected or left out, and the result may differ from what was meant."""
