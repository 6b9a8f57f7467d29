"""The form of a command's options: its fields, and the arguments that values stand for."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from tyro.conf import Positional, arg

from nstjax.cli.help import Choices, Layout
from nstjax.cli.options_stylize import StylizeOptions
from nstjax.cli.options_synthesis import TransferOptions, base_config, default_options
from nstjax.cli.parse import parse
from nstjax.errors import InputError
from nstjax.web.fields import Field, arguments_of, fields_of


@dataclasses.dataclass(frozen=True)
class Options:
    layout: ClassVar[Layout] = Layout(("count",), {"second": ("share", "names"), "first": ("mode", "tidy")})

    photo: Positional[Path] = Path("x")
    """A file."""
    share: float | None = None
    """A share."""
    count: int = 3
    """A count."""
    mode: Literal["a", "b"] = "a"
    """A mode."""
    tidy: bool = True
    """A switch."""
    names: tuple[str, ...] = ()
    """Names."""
    numbers: tuple[float, ...] = ()
    """Numbers."""
    free: str = "text"
    """Free text."""
    listed: Annotated[str, arg(metavar="NAME"), Choices({"x": "one", "y": "two"})] = "x"
    """A name."""
    file: Path | None = None
    """Another file."""


def fields(**more: object) -> dict[str, Field]:
    found = fields_of(Options, None, Options.layout, **more)  # type: ignore[arg-type]
    return {field.option.path: field for field in found}


def test_kinds_and_order() -> None:
    found = fields()
    assert list(found) == ["count", "numbers", "listed", "share", "names", "mode", "tidy"]
    assert {name: field.kind for name, field in found.items()} == {
        "count": "integer",
        "share": "number",
        "names": "names",
        "mode": "choice",
        "tidy": "switch",
        "numbers": "numbers",
        "listed": "choice",
    }
    assert found["listed"].choices == ("x", "y")
    assert found["count"].essential
    assert not found["share"].essential
    assert found["count"].text == "A count."


def test_files_and_free_text_have_no_field_unless_their_values_are_listed() -> None:
    assert not {"photo", "file", "free"} & set(fields())
    assert fields(choices={"free": ("text", "other")})["free"].choices == ("text", "other")
    assert "share" not in fields(left_out=("share",))


def test_values_become_the_arguments_that_the_parser_reads() -> None:
    found = fields()
    values = {
        "count": "7",
        "share": "0.25",
        "names": "relu1_1, relu2_1",
        "mode": "b",
        "tidy": "off",
        "numbers": "1 2.5",
        "listed": "y",
    }
    words = arguments_of(list(found.values()), [values[name] for name in found])
    read = parse(Options, ["photo.png", *words], "test")
    assert (read.count, read.share, read.names, read.mode) == (7, 0.25, ("relu1_1", "relu2_1"), "b")
    assert (read.tidy, read.numbers, read.listed) == (False, (1.0, 2.5), "y")


@pytest.mark.parametrize("empty", [None, "", []])
def test_empty_values_leave_the_options_out(empty: object) -> None:
    found = list(fields().values())
    assert arguments_of(found, [empty] * len(found)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "3 --file /etc/passwd"),
        ("count", "2.5"),
        ("count", "1e999"),
        ("count", "nan"),
        ("count", [1, 2]),
        ("count", {"a": 1}),
        ("share", "--file"),
        ("mode", "c"),
        ("mode", "--file"),
        ("mode", ["a"]),
        ("tidy", "maybe"),
        ("tidy", True),
        ("names", "--file /etc/passwd"),
        ("names", "../x"),
        ("names", "a.py:Name"),
        ("names", "a " * 100),
        ("numbers", "1 two"),
        ("listed", "z"),
    ],
)
def test_values_that_a_field_does_not_offer_are_refused(name: str, value: object) -> None:
    field = fields()[name]
    with pytest.raises(InputError, match=f"^{field.label} "):
        arguments_of([field], [value])


def test_no_field_of_the_real_commands_names_a_file_or_a_module() -> None:
    transfer = default_options("transfer", base_config("transfer", None))
    for kind, default in ((TransferOptions, transfer), (StylizeOptions, None)):
        for field in fields_of(kind, default, kind.layout):
            with pytest.raises(InputError):
                arguments_of([field], ["/etc/passwd"])
            with pytest.raises(InputError):
                arguments_of([field], ["own.py:Name"])


def test_every_field_of_the_real_commands_takes_its_default() -> None:
    default = default_options("transfer", base_config("transfer", None))
    for field in fields_of(TransferOptions, default, TransferOptions.layout):
        if field.shown_default:
            words = arguments_of([field], [field.shown_default])
            read = parse(TransferOptions, ["a.png", "b.png", "-o", "c.png", *words], "test", default)
            assert read == parse(TransferOptions, ["a.png", "b.png", "-o", "c.png"], "test", default)
