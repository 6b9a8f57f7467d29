"""Runs the commands that a page asks for: one pass in this process, an optimization in a process of its own."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import nstjax
from nstjax.cli.exits import BY_SIGNAL
from nstjax.cli.flags import with_flags
from nstjax.cli.runtime import warnings_as_notes
from nstjax.cli.stylize_command import run_stylize
from nstjax.errors import InputError
from nstjax.web.session import DECODING, Session

PICTURE, PLOT, ANIMATION = "picture.png", "loss.png", "steps.gif"
_ERROR, _NOTE = "nstjax: error: ", "note: "


@dataclasses.dataclass(frozen=True)
class Update:
    """The state of an optimization after an iteration, or its end.

    Attributes:
        done: fraction of the work that is done, in [0, 1].
        text: scale, iteration, loss and time left, as text.
        preview: file of the newest preview.
        finished: True for the last update; the picture is then complete.
        stopped: True if the run was stopped before its end.
    """

    done: float
    text: str
    preview: Path | None = None
    finished: bool = False
    stopped: bool = False


def one_pass(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Run ``nstjax stylize`` in this process, so that the next picture needs no start and no compilation.

    Args:
        folder: folder of the run; the picture is ``picture.png`` in it.
        arguments: the arguments without ``-o``.

    Returns:
        Notes about the input.

    Raises:
        InputError: If the input is not valid.
    """
    notes: list[str] = []
    with DECODING, warnings_as_notes(notes.append):
        code = run_stylize([*arguments, "-o", str(folder / PICTURE), "--quiet"])
    if code:
        raise InputError(f"the picture was not made (exit code {code})")
    return notes


def _text(told: dict[str, float]) -> str:
    """Return the line of text that describes the progress."""
    done, seconds = told["done"], told["seconds"]
    left = f", about {seconds * (1 - done) / done:.0f} s left" if 0 < done < 1 else ""
    return (
        f"Scale {told['scale']:.0f} of {told['scales']:.0f} ({told['width']:.0f}×{told['height']:.0f} pixels), "
        f"iteration {told['iteration']:.0f} of {told['iterations']:.0f}, loss {told['loss']:.4g}{left}"
    )


def optimize(session: Session, folder: Path, arguments: Sequence[str], animation: bool) -> Iterator[Update]:
    """Run ``nstjax transfer`` in a process of its own.

    Args:
        session: the session, whose :meth:`~nstjax.web.session.Session.stop` stops the run.
        folder: folder of the run, for ``picture.png``, its record, ``loss.png`` and ``steps.gif``.
        arguments: the arguments without the outputs.
        animation: also write ``steps.gif``.

    Yields:
        An :class:`Update` after each iteration, and one at the end.

    Raises:
        InputError: If the input is not valid, the run failed, or it was ended without a picture.
    """
    if session.worker is not None:
        raise InputError("this page has a run already: stop it first")
    outputs = ["-o", str(folder / PICTURE), "--plot", str(folder / PLOT)]
    outputs += ["--gif", str(folder / ANIMATION)] if animation else []
    command = [sys.executable, "-m", "nstjax.web.worker", str(folder), *arguments, *outputs]
    # The worker imports the same nstjax as this process, wherever it was started.
    path = os.pathsep.join([str(Path(nstjax.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*command, "--quiet", "--save-state-every", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
    )
    session.worker = process
    assert process.stdout is not None
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    last, preview = None, None
    try:
        yield Update(0.0, "Loading the network and compiling")
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            last = json.loads(line)
            if last.get("preview"):
                preview = folder / last["preview"]
            yield Update(last["done"], _text(last), preview)
        code = process.wait()
        reader.join(5)
    finally:  # also if the page was closed
        process.kill()
        process.wait()
        session.worker = None
    stopped = code > BY_SIGNAL
    if not (folder / PICTURE).exists() or code not in (0, BY_SIGNAL + 2):
        sentences = [line.strip() for line in errors if line.startswith(_ERROR)]
        reason = sentences[-1].removeprefix(_ERROR) if sentences else f"the run ended with exit code {code}"
        raise InputError(with_flags(reason))
    end = "Stopped: the picture so far" if stopped else "Finished"
    if last is not None:
        end += f", loss {last['loss']:.4g}, {last['seconds']:.0f} s"
    yield Update(1.0, end, folder / PICTURE, finished=True, stopped=stopped)
