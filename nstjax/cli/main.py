"""The program ``nstjax``: dispatches to commands, and turns errors into messages and exit codes."""

import contextlib
import errno
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence

from nstjax.cli.exits import BAD_INPUT, FAILED
from nstjax.cli.flags import with_flags
from nstjax.cli.interrupt import exit_code, leave_on_signal, raise_on_signal
from nstjax.cli.runtime import warnings_as_notes
from nstjax.errors import InputError, OutputError
from nstjax.heap import keep_freed_memory
from nstjax.private import use_temporary_home

USAGE = """usage: nstjax COMMAND ...

Neural style transfer in JAX.

commands:
  demo          stylize a photograph that comes with nstjax; needs no files and no network
  transfer      stylize a photograph, or a folder of photographs, with one or more style images
  texture       make a texture of any size from a style image
  reconstruct   reconstruct an image from activations of the network
  train         train a generator, which stylizes in one pass
  stylize       stylize photographs, animations and videos with a trained generator
  export        write a trained generator as a program that needs only JAX
  weights       fetch, convert, list, describe or normalize network weights
  cache         show the size of the cache, or clear it
  info          show versions, devices, and installed weights and generators
  completion    print a completion script for bash, zsh or fish

Each command has --help, which shows its common options, and --help-all. Start with:
  nstjax demo
  nstjax transfer photo.jpg painting.jpg -o picture.png
"""

_NO_ROOM = (
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)
)
# Imported as needed: JAX takes a second, and help should not.
_COMMANDS = {
    "demo": ("demo_command", "run_demo"),
    "transfer": ("synthesis_command", "run_synthesis"),
    "texture": ("synthesis_command", "run_synthesis"),
    "reconstruct": ("synthesis_command", "run_synthesis"),
    "train": ("train_command", "run_train"),
    "stylize": ("stylize_command", "run_stylize"),
    "export": ("export_command", "run_export"),
    "weights": ("weights_command", "run_weights"),
    "cache": ("cache_command", "run_cache"),
    "info": ("info_command", "run_info"),
    "completion": ("completion_command", "run_completion"),
}


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "--help-all", "help"):
        print(USAGE, end="")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command in ("--version", "-V"):
        from importlib.metadata import version

        print(f"nstjax {version('nstjax')}")
        return 0
    if command not in _COMMANDS:
        *most, last = _COMMANDS
        raise InputError(f"there is no command {command!r}: the commands are {', '.join(most)} and {last}")
    if command != "stylize":  # of one pass over a large picture, most of what is kept would not be used again
        keep_freed_memory()
    module, name = _COMMANDS[command]
    function = getattr(importlib.import_module(f"nstjax.cli.{module}"), name)
    with raise_on_signal():
        code: int = function(command, rest) if module == "synthesis_command" else function(rest)
    return code


def _prepare() -> None:
    """Settle what every command needs of its surroundings: printable messages, no foreign ones, a home folder."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # of another encoding, or a file name that is not text
            stream.reconfigure(errors="backslashreplace")
    # A program's libraries report to it, not to its users: without a handler Python prints their warnings.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    use_temporary_home()


def _note(line: str) -> None:
    print(f"nstjax: {line}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: those of the process by default; then the process also ends at once, without a traceback, on a signal
            that comes before or after the command.

    Returns:
        The exit code: 0; 2 for bad input, after one sentence on standard error; 1 for a run that failed; 130 after
        Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    if arguments is None:
        leave_on_signal()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    quiet = bool({"-q", "--quiet"} & set(arguments))
    try:
        with warnings_as_notes((lambda line: None) if quiet else _note):
            _prepare()
            return _run(arguments)
    except OutputError as error:
        print(f"nstjax: error: {_one_line(error)}", file=sys.stderr)
        return FAILED
    except InputError as error:
        print(f"nstjax: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:  # a path that the system refuses to look at: too long, a loop of links
        where = f"{str(error.filename)[:100]}: " if error.filename else ""
        no_room = error.errno in _NO_ROOM
        advice = "free some space" if no_room else "check the path"
        print(f"nstjax: error: {where}{error.strerror or error}; {advice}", file=sys.stderr)
        return FAILED if no_room else BAD_INPUT
    except MemoryError:
        print("nstjax: error: the memory is not enough: choose a smaller --size", file=sys.stderr)
        return FAILED
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # what XLA says when the device's memory is full
            raise
        print("nstjax: error: the device's memory is not enough: choose a smaller --size", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            print("nstjax: interrupted", file=sys.stderr)
        return exit_code()


def _one_line(error: Exception) -> str:
    """A message with flags for fields, and without the line breaks of file names and other libraries' messages."""
    return with_flags(" ".join(str(error).split()))


if __name__ == "__main__":
    sys.exit(main())
