"""The help of a command: ``--help`` shows the common options, ``--help-all`` every option in named groups."""

import ast
import contextlib
import dataclasses
import fnmatch
import functools
import inspect
import io
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import tyro

from nstjax.cli.flags import with_flags
from nstjax.errors import InputError

HELP, HELP_ALL = ("-h", "--help"), "--help-all"
HelpAll = Annotated[
    bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="show all options and exit", help_behavior_hint="")
]
"""The type of a field for ``--help-all``."""


@dataclasses.dataclass(frozen=True, eq=False)  # hashable, as tyro needs annotations to be
class Choices:
    """An annotation of a field that takes one of several names: its help lists them.

    Attributes:
        notes: for each name a few words.
    """

    notes: Mapping[str, str]

    def __str__(self) -> str:
        width = max(map(len, self.notes))
        return "\n".join(f"{name:{width}}  {note}" for name, note in self.notes.items())


@dataclasses.dataclass(frozen=True)
class Required:
    """An annotation of a field that must be given although its type has a default: its help says so."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The arrangement of a command's options in its help.

    An option is named by its path in the options class: ``output``, or ``settings.size`` for a field of the nested
    dataclass ``settings``.

    Attributes:
        essential: paths of the options that ``--help`` shows, in this order. Positional arguments are always shown.
        groups: titles of the groups of ``--help-all``, each with patterns (see :mod:`fnmatch`) of the paths in it. An
            option belongs to the first group that matches.
        refused: flags that the command refuses although its options class has them; no help shows them.
        hidden_values: by path, values that the command refuses although the option's type has them; no help shows them.
        texts: by path, texts for this command in place of the documentation of the field.
    """

    essential: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    refused: tuple[str, ...] = ()
    hidden_values: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def apply(self, option: "Option") -> "Option":
        """Return an option as the help of this command shows it: with its own text, without hidden values."""
        option = dataclasses.replace(option, text=self.texts.get(option.path, option.text))
        values = self.hidden_values.get(option.path)
        if values:
            kept = tuple(value for value in get_args(option.hint) if value not in values)
            option = dataclasses.replace(option, hint=Literal[kept])
        return option

    def check(self, command: str, given: Mapping[str, str | None]) -> None:
        """Check that the command has the given options.

        Args:
            command: its name, for the message.
            given: the options on the command line, from :func:`nstjax.cli.parse.scan`.

        Raises:
            InputError: If it refuses one of them.
        """
        for flag in self.refused:
            if flag in given:
                raise InputError(
                    f"{flag} does not go with nstjax {command}, which has no use for it: leave it out"
                )


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        path: its place in the options class.
        hint: its type, with the annotations for tyro.
        default: its default, or :data:`dataclasses.MISSING` if it is required.
        text: its documentation. The help replaces field names in backticks with flags. A clause ``; by default ...``
            or ``; ... by default`` describes the effect of leaving the option out. The help omits the clause if it
            shows a default value.
        fallback: the default to show if the option's own default, such as None, selects a value from elsewhere; or
            empty.
    """

    path: str
    hint: Any
    default: Any
    text: str
    fallback: str = ""

    @property
    def name(self) -> str:
        """The field's name."""
        return self.path.rpartition(".")[2]

    @property
    def flag(self) -> str:
        """The flag, or the field's name for a positional argument."""
        names = [data.name for data in self._annotations() if getattr(data, "name", None)]
        name = (names[-1] if names else self.name).replace("_", "-")
        return name if self.is_positional else f"--{name}"

    @property
    def is_positional(self) -> bool:
        """Whether the option is given without a flag."""
        return get_args(tyro.conf.Positional[int])[1] in self._annotations()

    def _annotations(self) -> tuple[Any, ...]:
        return get_args(self.hint)[1:] if get_origin(self.hint) is Annotated else ()

    def field(self, short: bool) -> tuple[str, Any, Any]:
        """Return the option as a field for :func:`dataclasses.make_dataclass`.

        Args:
            short: show a switch that is off by one flag, without its ``--no-`` form.
        """
        base = get_args(self.hint)[0] if self._annotations() else self.hint
        choices = [data for data in self._annotations() if isinstance(data, Choices)]
        switch = short and self.default is False
        hint: Any = "" if switch or choices else _default
        text = self.text
        if self.default in (None, (), ""):
            required = any(isinstance(data, Required) for data in self._annotations())
            fallback = f"(default: {self.fallback})" if self.fallback else ""
            hint = "(required)" if required else fallback
        if hint is _default or self.fallback:
            text = _BY_DEFAULT.sub("", text)
        text = "\n".join([with_flags(text), *map(str, choices)])
        shown = tyro.conf.arg(help=text, help_behavior_hint=hint, metavar=_metavar(base))
        markers = [tyro.conf.FlagCreatePairsOff] if switch else []
        markers.append(tyro.conf.DisallowNone)
        annotated = Annotated[(base, shown, *self._annotations(), *markers)]  # type: ignore[valid-type]
        return self.name, annotated, dataclasses.field(default=self.default)


_BY_DEFAULT = re.compile(r"; (by default [^.;]*|[^.;]* by default)(?=[.;]|$)")


def _default(label: str) -> str:
    """What follows an option's text: its default, if there is one."""
    return "" if label in ("", "''", "None") else f"(default: {label})"


def _metavar(hint: Any) -> str | None:
    """The placeholder of a list of numbers or names; None for tyro's placeholder."""
    kind, *rest = get_args(hint) if get_origin(hint) is tuple else (None,)
    if rest != [...]:
        return None
    if kind in (int, float, str):
        return f"{kind.__name__.upper()} ..."
    return f"{{{','.join(get_args(kind))}}} ..." if get_origin(kind) is Literal else None


@functools.cache
def _texts(kind: type) -> dict[str, str]:
    """The docstrings of a dataclass's fields."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        try:
            source = inspect.getsource(base)
        except OSError:  # installed without sources
            continue
        body = ast.parse(textwrap.dedent(source)).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            match (field, text):
                case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said)))):
                    found[name] = said
    return found


def options_of(kind: type, default: Any = None, path: str = "") -> Iterator[Option]:
    """Yield the options of a dataclass, those of nested dataclasses included.

    Args:
        kind: the dataclass.
        default: an instance whose values are the defaults, or None for the defaults of the fields.
        path: of ``kind`` in the dataclass that contains it.
    """
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        value = field.default if default is None else getattr(default, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            yield from options_of(hints[field.name], value, f"{path}{field.name}.")
        else:
            yield Option(f"{path}{field.name}", hints[field.name], value, _texts(kind).get(field.name, ""))


def fallbacks(
    records: Mapping[str, Any], options: Mapping[str, str], words: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the defaults of options whose defaults are those of one of several records.

    Args:
        records: dataclass instances by name, for example one for each optimizer.
        options: for each path of an option, the field of the records.
        words: texts for fields that are None; by default ``none``.

    Returns:
        For each path a text: the value if all records that have the field agree, else the value of each, such as
        ``20 for lbfgs and optax-lbfgs, 10 for scipy``.
    """
    found: dict[str, str] = {}
    for path, field in options.items():
        names: dict[str, list[str]] = {}
        for name, record in records.items():
            if any(own.name == field for own in dataclasses.fields(record)):
                value = getattr(record, field)
                text = (words or {}).get(field, "none") if value is None else _plain(value)
                names.setdefault(text, []).append(name)
        if len(names) == 1:
            (found[path],) = names
        else:
            found[path] = ", ".join(f"{value} for {_listed(those)}" for value, those in names.items())
    return found


def _plain(value: Any) -> str:
    """Return a value as it is written on the command line."""
    values: Iterable[Any] = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def group_of(option: Option, layout: Layout) -> str:
    """Return the title of the group of an option in ``--help-all``."""
    for title, patterns in layout.groups.items():
        if any(fnmatch.fnmatchcase(option.path, pattern) for pattern in patterns):
            return title
    return ""  # tyro's own group, "options"


def asked(arguments: Sequence[str]) -> str | None:
    """Return ``"--help"`` or ``"--help-all"`` if the arguments ask for one of them, else None."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if any(argument.replace("_", "-") == HELP_ALL for argument in options):
        return HELP_ALL
    return HELP[1] if any(argument in HELP for argument in options) else None


def help_for(kind: type, message: str) -> str:
    """Return the flag of the help that describes the option a message begins with."""
    layout: Layout | None = getattr(kind, "layout", None)
    if layout is None:
        return HELP[1]
    shown = {option.flag for option in options_of(kind) if option.path in layout.essential}
    return HELP[1] if shown.intersection(message.split()[:1]) else HELP_ALL


def show_help(
    kind: type,
    prog: str,
    default: Any = None,
    everything: bool = False,
    unset: Mapping[str, str] | None = None,
) -> NoReturn:
    """Print the help of a command and exit.

    tyro writes the text. For this, the function builds a dataclass that has only the fields to show, arranged in
    groups. If the options class has a ``usage``, a tuple of texts such as ``"STYLE -o OUT"``, the usage lines are made
    of these and replace tyro's.

    Args:
        kind: the options class; if it has a ``layout`` (:class:`Layout`), ``--help`` shows only the essential
            options.
        prog: the command, such as ``"nstjax transfer"``.
        default: an instance whose values are shown as defaults, or None.
        everything: show all options, as for ``--help-all``.
        unset: for each path of an option whose own default, such as None, stands for the value of another record,
            the text to show as its default; see :func:`fallbacks`.
    """
    layout: Layout | None = getattr(kind, "layout", None)
    known = dict(unset or {})
    options = {
        option.path: dataclasses.replace(option, fallback=known.get(option.path, ""))
        for option in options_of(kind, default)
    }
    if layout is not None:
        options = {path: layout.apply(option) for path, option in options.items()}
    positional = [option for option in options.values() if option.is_positional]
    groups: dict[str, list[Option]] = {"": []}
    if layout is None:
        groups[""] = list(options.values())
    elif everything:
        groups |= {title: [] for title in layout.groups}
        for option in options.values():
            if not option.is_positional and option.flag not in layout.refused:
                groups[group_of(option, layout)].append(option)
        groups[""] = [*positional, *groups[""]]
    else:
        groups[""] = [*positional, *(options[path] for path in layout.essential)]
    fields: list[Any] = [option.field(not everything) for option in groups.pop("")]
    if layout is not None:
        fields.insert(0, ("help_all", HelpAll, dataclasses.field(default=False)))
    for number, (title, members) in enumerate(groups.items()):
        if members:
            made = [option.field(False) for option in members]
            group = dataclasses.make_dataclass(f"Group{number}", made, kw_only=True)
            group.__doc__ = None
            fields.append((f"group{number}", Annotated[group, tyro.conf.arg(name=title, help="")]))
    shown = dataclasses.make_dataclass(kind.__name__, fields, kw_only=True)
    config = (tyro.conf.OmitArgPrefixes,)
    captured = _Captured()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(captured):
        tyro.cli(shown, args=["--help"], prog=prog, description=inspect.getdoc(kind), config=config)
    captured.seek(0)
    text = captured.read()
    usage = "\n       ".join(f"{prog} {line}" for line in getattr(kind, "usage", ()))
    if usage:
        text = "\n\n".join((f"usage: {usage}", text.partition("\n\n")[2]))
    print(text, end="")
    raise SystemExit(0)


class _Captured(io.TextIOWrapper):
    """A text file in memory that looks like the standard output to what writes into it."""

    def __init__(self) -> None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        super().__init__(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        self._terminal = sys.stdout.isatty()

    def isatty(self) -> bool:
        """Return whether the standard output is a terminal."""
        return self._terminal
