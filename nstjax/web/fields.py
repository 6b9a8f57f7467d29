"""The options of a command as fields of a form, and the arguments that the values of a form stand for."""

import dataclasses
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from nstjax.cli.flags import with_flags
from nstjax.cli.help import Choices, Layout, Option, group_of, options_of
from nstjax.errors import InputError

FieldKind: TypeAlias = Literal["choice", "switch", "integer", "number", "integers", "numbers", "names"]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")  # of a layer
_MOST_WORDS = 64


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the form.

    Attributes:
        option: the option of the command.
        kind: the kind of its values.
        choices: the allowed values, for ``choice``.
        group: title of its group in ``--help-all``.
        essential: True if ``--help`` shows it.
    """

    option: Option
    kind: FieldKind
    choices: tuple[str, ...]
    group: str
    essential: bool

    @property
    def label(self) -> str:
        """The flag without hyphens, such as ``style strength``."""
        return self.option.flag.lstrip("-").replace("-", " ")

    @property
    def text(self) -> str:
        """The help text of the option."""
        return with_flags(self.option.text)

    @property
    def shown_default(self) -> str:
        """The default value as text; empty if the option has none."""
        value = self.option.default
        if value in (None, (), ""):
            return ""
        if isinstance(value, bool):
            return "on" if value else "off"
        return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _without_none(hint: Any) -> Any:
    """Return the type of a hint without annotations and without None."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        kept = [one for one in get_args(hint) if one is not type(None)]
        return _without_none(kept[0]) if len(kept) == 1 else hint
    return hint


def _kind(option: Option, choices: Mapping[str, Sequence[str]]) -> tuple[FieldKind, tuple[str, ...]] | None:
    """Return the kind of an option's values and its choices; None if a form cannot offer the option."""
    if option.path in choices:
        return "choice", tuple(choices[option.path])
    notes = [data for data in get_args(option.hint)[1:] if isinstance(data, Choices)]
    if notes:
        return "choice", tuple(notes[0].notes)
    hint = _without_none(option.hint)
    if get_origin(hint) is Literal:
        return "choice", tuple(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        kinds: dict[Any, FieldKind] = {int: "integers", float: "numbers", str: "names"}
        kind = kinds.get(get_args(hint)[0])
        return None if kind is None else (kind, ())
    single: dict[Any, FieldKind] = {bool: "switch", int: "integer", float: "number"}
    return (single[hint], ()) if hint in single else None  # a path, or free text, is not offered


def fields_of(
    kind: type,
    default: Any,
    layout: Layout,
    left_out: Sequence[str] = (),
    choices: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Field]:
    """Yield the fields for a command's options, in the order of ``--help`` and then of ``--help-all``.

    Options whose values are paths or free text, positional arguments, and those of ``left_out`` have no field: a
    browser must not be able to name a file or a Python module of this machine.

    Args:
        kind: the options class.
        default: an instance whose values are the defaults, or None.
        layout: the layout of the command's help.
        left_out: dotted names of options without a field, such as ``settings.init``.
        choices: for options that are free text, by dotted name, the values to offer.
    """
    options = {option.path: layout.apply(option) for option in options_of(kind, default)}
    titles = list(layout.groups)
    order = [*layout.essential, *(path for path in options if path not in layout.essential)]
    found = []
    for path in order:
        option = options[path]
        kind_of_values = None if option.is_positional else _kind(option, choices or {})
        if kind_of_values is None or path in left_out or option.flag in layout.refused:
            continue
        found.append(Field(option, *kind_of_values, group_of(option, layout), path in layout.essential))
    essential = [field for field in found if field.essential]
    rest = [field for field in found if not field.essential]
    yield from essential
    yield from sorted(rest, key=lambda field: titles.index(field.group) if field.group in titles else -1)


def _number(field: Field, text: Any, whole: bool) -> str:
    """Return a number as the command line takes it."""
    what = "a whole number" if whole else "a number"
    try:
        value = float(text)
        if whole and value != int(value):
            raise ValueError
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{field.label} is {str(text)[:40]!r}: it must be {what}") from error
    return str(int(value)) if whole else repr(value)


def _words(field: Field, value: Any) -> list[str]:
    """Return the words of the command line after the flag.

    Raises:
        InputError: If the value is not one of the field's.
    """
    if field.kind == "choice":
        if str(value) not in field.choices:
            raise InputError(
                f"{field.label} is {str(value)[:40]!r}: it must be one of {', '.join(field.choices)}"
            )
        return [str(value)]
    if field.kind in ("integer", "number"):
        return [_number(field, value, field.kind == "integer")]
    parts = str(value).replace(",", " ").split()
    if len(parts) > _MOST_WORDS:
        raise InputError(f"{field.label} has {len(parts)} values: give at most {_MOST_WORDS}")
    if field.kind == "names":
        for part in parts:
            if not _NAME.fullmatch(part):
                raise InputError(
                    f"{field.label} has {part[:40]!r}, which is not a name: give names of layers"
                )
        return parts
    return [_number(field, part, field.kind == "integers") for part in parts]


def arguments_of(fields: Sequence[Field], values: Sequence[Any]) -> list[str]:
    """Return the arguments of a command for the values of a form.

    Args:
        fields: the fields.
        values: a value for each field; None, ``""`` and ``[]`` leave the option out, and so does a switch that equals its
            default.

    Returns:
        The words of the command line.

    Raises:
        InputError: If a value is not one of its field's. The values are checked here, because a client can send
            values that the form does not offer.
    """
    found: list[str] = []
    for field, value in zip(fields, values, strict=True):
        if value is None or value == "" or value == []:
            continue
        if field.kind == "switch":
            if value not in ("on", "off"):
                raise InputError(f"{field.label} is {str(value)[:40]!r}: it must be on or off")
            if (value == "on") == field.option.default:
                continue
            found.append(field.option.flag if value == "on" else f"--no-{field.option.flag[2:]}")
            continue
        words = _words(field, value)
        if words:
            found += [field.option.flag, *words]
    return found
