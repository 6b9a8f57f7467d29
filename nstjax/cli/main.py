"""The program ``nstjax``: dispatches to commands, and turns errors into messages and exit codes."""

import contextlib
import errno
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence

import nstjax
from nstjax.blas import use_one_blas_thread
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
  transfer      stylize a photograph, a folder or a video with one or more style images
  texture       make a texture of any size from a style image
  reconstruct   reconstruct an image from activations of the network
  train         train a generator, which stylizes in one pass
  stylize       stylize photographs, animations and videos in one pass, in the style of any image
  web           stylize in a browser (needs the extra web)
  export        export a trained generator to StableHLO or ONNX
  weights       fetch, convert, export, list, describe or normalize network weights
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
# The module and function of each command. They are imported when needed, because JAX takes a second to import and
# --help should be fast.
_COMMANDS = {
    "demo": ("cli.demo_command", "run_demo"),
    "transfer": ("cli.synthesis_command", "run_synthesis"),
    "texture": ("cli.synthesis_command", "run_synthesis"),
    "reconstruct": ("cli.synthesis_command", "run_synthesis"),
    "train": ("cli.train_command", "run_train"),
    "stylize": ("cli.stylize_command", "run_stylize"),
    "web": ("web.command", "run_web"),
    "export": ("cli.export_command", "run_export"),
    "weights": ("cli.weights_command", "run_weights"),
    "cache": ("cli.cache_command", "run_cache"),
    "info": ("cli.info_command", "run_info"),
    "completion": ("cli.completion_command", "run_completion"),
}


def _run(arguments: list[str]) -> int:
    """Run a command; return the exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "--help-all", "help"):
        print(USAGE, end="")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command in ("--version", "-V"):
        print(f"nstjax {nstjax.__version__}")  # a checkout that is not installed has no metadata
        return 0
    if command not in _COMMANDS:
        *most, last = _COMMANDS
        raise InputError(f"there is no command {command!r}: the commands are {', '.join(most)} and {last}")
    if command not in (
        "stylize",
        "web",
    ):  # one pass over a large image would reuse little of the freed memory
        keep_freed_memory(fill=False)  # check_device does the rest, after the import of JAX
    module, name = _COMMANDS[command]
    function = getattr(importlib.import_module(f"nstjax.{module}"), name)
    with raise_on_signal():
        code: int = function(command, rest) if module == "cli.synthesis_command" else function(rest)
    return code


def _prepare() -> None:
    """Prepare the process for any command: messages, log messages of libraries, a home folder, threads."""
    for stream in (sys.stdout, sys.stderr):
        # The stream's encoding may lack a character, and file names may contain bytes that are not text.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Log messages of libraries are not for the user. Without any handler, Python would print their warnings.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    use_temporary_home()
    use_one_blas_thread()


def _note(line: str) -> None:
    print(f"nstjax: {line}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: the arguments; by default those of the process. With the default, a signal before or after the
            command also ends the process at once, without a traceback.

    Returns:
        The exit code: 0; 2 for bad input, after one sentence on standard error; 1 for a run that failed; 130
        after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    if arguments is None:
        leave_on_signal()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _run(arguments), bool({"-q", "--quiet"} & set(arguments)))


def guarded(run: Callable[[], int], quiet: bool = False) -> int:
    """Call a command and turn its exceptions into one sentence on standard error and an exit code.

    Args:
        run: the command; returns the exit code.
        quiet: do not print warnings about the input.

    Returns:
        The exit code, see :func:`main`.
    """
    try:
        with warnings_as_notes((lambda line: None) if quiet else _note):
            _prepare()
            return run()
    except OutputError as error:
        print(f"nstjax: error: {_one_line(error)}", file=sys.stderr)
        return FAILED
    except InputError as error:
        print(f"nstjax: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:  # for example a path that is too long, or a loop of symbolic links
        where = f"{str(error.filename)[:100]}: " if error.filename else ""
        no_room = error.errno in _NO_ROOM
        advice = "free some space" if no_room else "check the path"
        print(f"nstjax: error: {where}{error.strerror or error}; {advice}", file=sys.stderr)
        return FAILED if no_room else BAD_INPUT
    except MemoryError:
        print("nstjax: error: out of memory: choose a smaller --size", file=sys.stderr)
        return FAILED
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # XLA's status when the device's memory is full
            raise
        print("nstjax: error: out of device memory: choose a smaller --size", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            print("nstjax: interrupted", file=sys.stderr)
        return exit_code()


def _one_line(error: Exception) -> str:
    """Return an exception's message on one line, with flags in place of fields.

    File names and messages of other libraries may contain line breaks.
    """
    return with_flags(" ".join(str(error).split()))


if __name__ == "__main__":
    sys.exit(main())
