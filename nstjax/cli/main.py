"""The program ``nstjax``."""

import io
import logging
import os
import sys
from collections.abc import Sequence

from nstjax.cli.runtime import warnings_as_notes
from nstjax.errors import InputError
from nstjax.heap import keep_freed_memory
from nstjax.private import use_temporary_home

USAGE = """usage: nstjax COMMAND ...

Neural style transfer in JAX.

commands:
  demo          paint a photograph that comes with nstjax, without network or files of yours
  transfer      paint a photograph (or a folder of them) in the manner of a painting, or of several
  texture       make a texture of any size from a painting
  reconstruct   show what layers of the network keep of an image
  train         train a network that paints in one pass
  stylize       paint photographs, animations and videos with a trained network, in a moment
  export        write a trained network as a program that needs JAX alone
  weights       fetch, convert, list, describe or normalise network weights
  info          show versions, devices and installed weights

Each command has --help. Start with:
  nstjax demo
  nstjax transfer photo.jpg painting.jpg -o picture.png
"""

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command in ("--version", "-V"):
        import importlib.metadata

        print(f"nstjax {importlib.metadata.version('nstjax')}")
        return 0
    if command != "stylize":  # of one pass over a large picture, most of what is kept would not be used again
        keep_freed_memory()
    # Imported as needed: JAX takes a second, and help should not.
    if command in ("transfer", "texture", "reconstruct"):
        from nstjax.cli.synthesis_command import run_synthesis

        return run_synthesis(command, rest)
    if command == "demo":
        from nstjax.cli.demo_command import run_demo

        return run_demo(rest)
    if command == "train":
        from nstjax.cli.train_command import run_train

        return run_train(rest)
    if command == "stylize":
        from nstjax.cli.stylize_command import run_stylize

        return run_stylize(rest)
    if command == "export":
        from nstjax.cli.export_command import run_export

        return run_export(rest)
    if command == "weights":
        from nstjax.cli.weights_command import run_weights

        return run_weights(rest)
    if command == "info":
        from nstjax.cli.info_command import run_info

        return run_info(rest)
    raise InputError(
        f"there is no command {command!r}: the commands are demo, transfer, texture, reconstruct, train, stylize, export, weights and info"
    )


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

    Returns:
        The exit code: 0; 2 for bad input, after one sentence on standard error; 1 for a run that failed on
        its own; 130 for one that was interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    quiet = bool({"-q", "--quiet"} & set(arguments))
    try:
        with warnings_as_notes((lambda line: None) if quiet else _note):
            _prepare()
            return _run(arguments)
    except InputError as error:
        print(f"nstjax: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:  # a path that the system refuses to look at: too long, a loop of links
        where = f"{str(error.filename)[:100]}: " if error.filename else ""
        print(f"nstjax: error: {where}{error.strerror or error}; check the path", file=sys.stderr)
        return BAD_INPUT
    except MemoryError:
        print("nstjax: error: the memory is not enough: choose a smaller --size", file=sys.stderr)
        return FAILED
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # what XLA says when the device's memory is full
            raise
        print("nstjax: error: the device's memory is not enough: choose a smaller --size", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("nstjax: interrupted", file=sys.stderr)
        return INTERRUPTED


def _one_line(error: Exception) -> str:
    """A message without the line breaks that a file's name or another library's message may have."""
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
