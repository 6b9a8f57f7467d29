"""The command-line flags of fields and parameters that library messages name."""

import dataclasses
import functools
import re
from collections.abc import Iterator

FLAGS = {
    "data.source": "--data",
    "data.size": "--crop",
    "data.seed": "--data-seed",
    "generator.kind": "--generator",
    "generator.output": "--generator-output",
    "generator.styles": "--style",
    "styles": "--style",
    "optimizer.method": "--optimizer",
    "address": "--coordinator",
    "arch": "--network",
    "spec": "--weights",
    "load_backbone": "--weights",
    "specs": "--masks",
    "import_statistic": "--style-statistic",
}
"""Flags whose name is not the field's: by path in a config, or by the name of a parameter or function."""

# Not beside letters or a part of a path, where backticks belong to a file's name.
_NAME = re.compile(r"(?<![\w`/.-])`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)`(?![\w`/.-])")


def flag_of(name: str) -> str:
    """Return the flag of a field: ``mask_carry`` is ``--mask-carry``, ``data.size`` is ``--crop``."""
    return FLAGS.get(name) or f"--{name.rpartition('.')[2].replace('_', '-')}"


def _fields(kind: type) -> Iterator[str]:
    for field in dataclasses.fields(kind):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from _fields(field.type)
        else:
            yield field.name


@functools.cache
def _options() -> frozenset[str]:
    """The fields of every command's options."""
    # Imported as needed: they import JAX, which takes a second.
    from nstjax.cli.options_stylize import ExportOptions, StylizeOptions
    from nstjax.cli.options_synthesis import COMMANDS
    from nstjax.cli.options_train import TrainOptions
    from nstjax.cli.options_web import WebOptions
    from nstjax.cli.options_weights import ConvertOptions, FetchOptions

    kinds = (
        *(*COMMANDS.values(), TrainOptions, StylizeOptions, ExportOptions),
        *(FetchOptions, ConvertOptions, WebOptions),
    )
    return frozenset(name for kind in kinds for name in _fields(kind))


def with_flags(message: str) -> str:
    """Return a library's message with flags in place of the fields in backticks; other words stay as they are."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        known = name in FLAGS or name.rpartition(".")[2] in _options()
        return flag_of(name) if known else match[0]

    return _NAME.sub(replace, message)
