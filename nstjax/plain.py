"""Frozen records from plain data, as JSON gives it."""

import typing
from typing import Any

from nstjax.errors import InputError


def build(kind: type, values: dict[str, Any]) -> Any:
    """A record of ``kind`` from its fields; lists become tuples.

    Raises:
        InputError: a field is unknown, or of a wrong type or value.
    """
    values = dict(values)
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise InputError(
                f"the record's {kind.__name__} has the unknown field {name!r}: is it of a later version?"
            )
        if isinstance(value, list):
            values[name] = tuple(value)
    try:
        return kind(**values)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"the record's {kind.__name__} has a field of a wrong type: {error}") from error
