"""Exceptions that the command line prints as one sentence, and checks that raise them."""

import dataclasses
import typing
from typing import Any

MOST = 10**9
"""Largest allowed count (of steps or iterations, for example); it fits into int32."""


class InputError(ValueError):
    """Bad input. The message is one sentence that names the file, field or parameter and says what to do.

    Fields and parameters are in backticks; the command line shows the flag instead. It prints the message after
    ``nstjax: error:`` and exits with code 2.
    """


class OutputError(InputError):
    """A file cannot be written, for example because the disk is full or a folder was deleted.

    The command line prints it like an :class:`InputError`, and exits with code 1.
    """


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise :class:`InputError` unless ``value`` is one of ``allowed``.

    Args:
        name: the field or parameter, for the message.
        value: the value to check.
        allowed: the allowed values.
    """
    if value not in allowed:
        raise InputError(f"`{name}` is {value!r}: it must be one of {', '.join(allowed)}")


def check_choices(record: Any, **names: str) -> None:
    """Raise :class:`InputError` if a field annotated with a ``Literal`` has a value that the ``Literal`` does not list.

    Args:
        record: an instance of a dataclass.
        **names: for a field, the name that the message uses instead of the field's own.
    """
    for field in dataclasses.fields(record):
        if typing.get_origin(field.type) is typing.Literal:
            one_of(
                names.get(field.name, field.name), getattr(record, field.name), typing.get_args(field.type)
            )


def check_tuples(record: Any) -> None:
    """Raise :class:`InputError` if a field annotated with ``tuple`` has a value of another type, such as a list.

    A list is not hashable, so it could not be a static argument of a compiled function.

    Args:
        record: an instance of a dataclass.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if typing.get_origin(field.type) is tuple and not isinstance(value, tuple):
            raise InputError(f"`{field.name}` is {value!r}: it must be a tuple")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its class if the message is empty.

    The line is cut after 200 characters.
    """
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


_SMALLEST, _LARGEST = 2.0**-126, 2.0**127  # normal float32 numbers: XLA treats smaller ones as 0


def check_positive(name: str, value: float, most: float = _LARGEST) -> None:
    """Raise :class:`InputError` unless ``value`` is a normal positive float32 number of at most ``most``.

    Args:
        name: the field or parameter, for the message.
        value: the value to check.
        most: the largest allowed value; by default 2¹²⁷.
    """
    if not _SMALLEST <= value <= most:
        limit = "" if most == _LARGEST else f" and at most {most:g}"
        raise InputError(f"`{name}` is {value}: it must be a finite float32 number greater than 0{limit}")


def check_not_negative(name: str, value: float) -> None:
    """Raise :class:`InputError` unless ``value`` is a finite number of 0 or more.

    Args:
        name: the field or parameter, for the message.
        value: the value to check.
    """
    if not 0 <= value < float("inf"):
        raise InputError(f"`{name}` is {value}: it must be a finite number, 0 or more")


def within(name: str, value: float, least: float, most: float, instead: str = "") -> None:
    """Raise :class:`InputError` unless ``least <= value <= most``. NaN is outside every range.

    Args:
        name: the field or parameter, such as ``size``.
        value: the value to check.
        least: the smallest allowed value.
        most: the largest allowed value.
        instead: text that follows the range in the message: a unit, such as ``" pixels"``, or a value that the caller
            also allows, such as ``", or 0 for none"``.
    """
    if not least <= value <= most:
        raise InputError(f"`{name}` is {value}: it must be between {least} and {most}{instead}")


class InputWarning(UserWarning):
    """Part of the input was changed or ignored, so the result may differ from what the user expects."""
