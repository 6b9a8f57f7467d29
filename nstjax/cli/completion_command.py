"""``nstjax completion``: scripts that complete commands and options in a shell."""

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from nstjax.cli import options_weights as weights
from nstjax.cli.demo_command import DemoOptions
from nstjax.cli.help import HELP, HELP_ALL, HelpAll
from nstjax.cli.options_stylize import ExportOptions, StylizeOptions
from nstjax.cli.options_synthesis import COMMANDS
from nstjax.cli.options_train import TrainOptions
from nstjax.cli.options_web import WebOptions
from nstjax.errors import InputError

OPTIONS: dict[str, type] = {
    "demo": DemoOptions,
    **COMMANDS,
    "train": TrainOptions,
    "stylize": StylizeOptions,
    "web": WebOptions,
    "export": ExportOptions,
    "weights fetch": weights.FetchOptions,
    "weights convert": weights.ConvertOptions,
    "weights export": weights.ExportWeightsOptions,
    "weights list": weights.ListOptions,
    "weights info": weights.WeightsInfoOptions,
    "weights normalize": weights.NormalizeOptions,
    "cache sizes": weights.SizesOptions,
    "cache clear": weights.ClearOptions,
    "info": weights.InfoOptions,
}
"""The options class of every command and action."""
WHERE = {
    "bash": "~/.local/share/bash-completion/completions/nstjax",
    "zsh": "~/.zfunc/_nstjax  (a folder of $fpath)",
    "fish": "~/.config/fish/completions/nstjax.fish",
}
"""For each shell, a file in which to save its script."""
_USAGE = (
    "usage: nstjax completion SHELL > FILE\n\nPrint a script that completes nstjax's commands and options.\n\n"
    + "".join(f"  {shell:5} FILE is {place}\n" for shell, place in WHERE.items())
)


def _either(kinds: dict[str, type]) -> Any:
    """Return the type of a choice among subcommands, in the form that tyro expects."""
    choice: Any = None
    for name, kind in kinds.items():
        with_help = dataclasses.make_dataclass(
            kind.__name__,
            [("help_all", HelpAll, dataclasses.field(default=False))],
            bases=(kind,),
            frozen=True,
            kw_only=True,
        )
        one: Any = Annotated[with_help, tyro.conf.subcommand(name)]
        choice = one if choice is None else choice | one
    return choice


def _with_actions(name: str, kinds: dict[str, type]) -> type:
    """Return a dataclass with the options of a command that has actions."""
    return dataclasses.make_dataclass(name, [("action", _either(kinds))], frozen=True)


def script(shell: str) -> str:
    """Return the completion script of ``"bash"``, ``"zsh"`` or ``"fish"``."""
    commands: dict[str, type] = {}
    actions: dict[str, dict[str, type]] = {}
    for name, kind in OPTIONS.items():
        command, _, action = name.partition(" ")
        if action:
            actions.setdefault(command, {})[action] = kind
            kind = _with_actions(command.title(), actions[command])
        commands[command] = kind
    printed = io.StringIO()
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(_either(commands), prog="nstjax", args=["--tyro-print-completion", shell], config=config)
    return printed.getvalue()


def run_completion(arguments: Sequence[str]) -> int:
    """Run ``nstjax completion``.

    Args:
        arguments: the arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        InputError: If the input is not valid.
    """
    if not arguments or arguments[0] in (*HELP, HELP_ALL):
        print(_USAGE, end="")
        return 0
    shell, *rest = arguments
    if shell not in WHERE or rest:
        raise InputError(f"nstjax completion takes one of {', '.join(WHERE)}: see nstjax completion --help")
    print(script(shell), end="")
    return 0
