"""Reads JSON with limits on size and depth, and checks values against type annotations.

Run records, checkpoint records, saved states and metrics are read with these functions.
"""

import dataclasses
import json
import math
import os
import types
import typing
from pathlib import Path
from typing import Any

from nstjax.errors import InputError

MOST_BYTES = 2**26  # largest JSON file; a history of 10,000 iterations takes 3 MB
MOST_INTEGER = 2**63 - 1


class _Mismatch(Exception):
    """A value does not have the annotated type; the message says where and why."""


def parse_json(text: bytes) -> Any:
    """Parse JSON.

    Args:
        text: JSON in UTF-8.

    Raises:
        ValueError: If the text is not JSON in UTF-8, or is nested too deeply.
    """
    try:
        return json.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not JSON, is nested too deeply, or is larger than :data:`MOST_BYTES`.
    """
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return parse_json(text)


def _shown(value: object) -> str:
    """Return the ``repr`` of a value for a message, cut after 60 characters."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # deep nesting, or an integer with more digits than Python prints
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:60]}…"


def _number(value: Any, hint: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Mismatch(f"is {_shown(value)}, not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Mismatch(f"is {value}, not a finite number")
    if isinstance(value, int) and abs(value) > MOST_INTEGER:
        raise _Mismatch("is an integer of more than 64 bits")
    if hint is int and not isinstance(value, int):
        raise _Mismatch(f"is {value}, not an integer")
    return hint(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mismatch(f"is {_shown(value)}, not a text")
    try:  # any string may be used as a path
        whole = b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        whole = False
    if not whole:
        raise _Mismatch("is a text with characters that no path can have")
    return value


def _at(place: object, value: Any, hint: Any) -> Any:
    """Convert one part of a value; an error message names its place."""
    try:
        return _convert(value, hint)
    except _Mismatch as error:
        message = str(error)
        raise _Mismatch(f"{place}{message if message.startswith(('.', '[')) else ' ' + message}") from None


def _sequence(value: Any, hint: Any) -> Any:
    kind, of = typing.get_origin(hint), typing.get_args(hint)
    if not isinstance(value, list | tuple):
        raise _Mismatch(f"is {_shown(value)}, not a list")
    if kind is tuple and of[1:] != (...,):
        if len(value) != len(of):
            raise _Mismatch(f"has {len(value)} entries, not {len(of)}")
    else:
        of = (of[0],) * len(value)
    return kind(_at(f"[{i}]", part, of[i]) for i, part in enumerate(value))


def _record(value: Any, hint: Any) -> Any:
    """Convert a dict to a dataclass or a ``TypedDict``.

    Unknown keys raise an error for a dataclass; a ``TypedDict`` keeps them.
    """
    if not isinstance(value, dict):
        raise _Mismatch(f"is {_shown(value)}, not an object")
    hints = typing.get_type_hints(hint)
    typed_dict = typing.is_typeddict(hint)
    missing = sorted(hint.__required_keys__ - set(value)) if typed_dict else []
    if missing:
        raise _Mismatch(f"has no {missing[0]!r}")
    found = {}
    for name, part in value.items():
        if name in hints:
            found[name] = _at(f".{name}", part, hints[name])
        elif typed_dict:
            found[name] = part
        else:
            raise _Mismatch(f"has the unknown field {_shown(name)}: is it of a later version?")
    if typed_dict:
        return found
    try:
        return hint(**found)
    except TypeError as error:  # a field without a default is missing
        raise _Mismatch(f"is not whole: {error}") from error


def _convert(value: Any, hint: Any) -> Any:
    kind, of = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if kind in (typing.Annotated, typing.NotRequired, typing.Required):
        return _convert(value, of[0])
    if kind in (typing.Union, types.UnionType):
        reasons = []
        for option in of:
            try:
                return _convert(value, option)
            except _Mismatch as error:
                reasons.append(error)
        raise reasons[0]
    if kind is typing.Literal:
        for option in of:
            if type(value) is type(option) and value == option:
                return value
        raise _Mismatch(f"is {_shown(value)}: it must be one of {', '.join(map(str, of))}")
    if kind in (tuple, list):
        return _sequence(value, hint)
    if kind is dict:
        if not isinstance(value, dict):
            raise _Mismatch(f"is {_shown(value)}, not an object")
        return {_text(name): _at(f".{name[:60]}", part, of[1]) for name, part in value.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else _record(value, hint)  # type: ignore[arg-type]
    if typing.is_typeddict(hint):
        return _record(value, hint)
    if hint in (int, float):
        return _number(value, hint)
    if hint is str:
        return _text(value)
    if hint is type(None):
        hint = types.NoneType
    if not isinstance(value, hint):
        raise _Mismatch(f"is {_shown(value)}, not {'null' if hint is types.NoneType else hint.__name__}")
    return value


def checked(value: Any, hint: Any, what: str) -> Any:
    """Check a value against a type annotation and convert it.

    Lists become tuples where the annotation is a tuple, and dicts become dataclasses where it is a dataclass.
    Integers must fit into 64 bits, and floats must be finite.

    Args:
        value: a value as :func:`parse_json` returns it; it may already contain dataclasses.
        hint: a type annotation: a dataclass, a ``TypedDict``, a ``Literal``, a union, ``tuple``, ``list``, ``dict``,
            ``str``, ``int``, ``float``, ``bool``, ``None``, ``Any``, or another class, such as ``np.ndarray``.
        what: what the message calls the value.

    Returns:
        The converted value.

    Raises:
        InputError: If the value has another type or is nested too deeply, an object lacks a required field or has an
            unknown one, or a dataclass rejects its fields.
    """
    try:
        return _at(what, value, hint)
    except RecursionError as error:
        raise InputError(f"{what} is nested too deeply") from error
    except _Mismatch as error:
        raise InputError(str(error)) from error


def build(kind: type, values: object) -> Any:
    """Build a dataclass from its fields; see :func:`checked`.

    Args:
        kind: the dataclass.
        values: a dict of its fields.

    Raises:
        InputError: If a field is missing or unknown, or has a wrong type or value.
    """
    return checked(values, kind, f"the record's {kind.__name__}")
