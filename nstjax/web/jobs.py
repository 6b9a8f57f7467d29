"""Runs the commands that a page asks for: one pass in this process, an optimization in a process of its own."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import nstjax
from nstjax.cli.exits import BY_SIGNAL, FAILED
from nstjax.cli.flags import with_flags
from nstjax.cli.stylize_command import run_stylize
from nstjax.errors import InputError
from nstjax.files import saves_elsewhere
from nstjax.web.session import Session, decoding

PICTURE, PLOT, ANIMATION = "picture.png", "loss.png", "steps.gif"
UPDATE_EVERY_S = 0.25
_ERROR = "nstjax: error: "


@dataclasses.dataclass(frozen=True)
class Update:
    """The state of an optimization.

    Attributes:
        done: fraction of the work that is done, in [0, 1].
        text: scale, iteration, loss and time left, as text.
        preview: file of the newest preview; in the last update, the picture.
        finished: True for the last update, when the output files are written.
    """

    done: float
    text: str
    preview: Path | None = None
    finished: bool = False


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
    before = saves_elsewhere.set(False)
    try:
        with decoding() as notes:
            code = run_stylize([*arguments, "-o", str(folder / PICTURE), "--quiet"])
    finally:
        saves_elsewhere.reset(before)
    if code:
        raise InputError(f"the picture was not made (exit code {code})")
    return notes


class _Reader(threading.Thread):
    """Reads the progress that a worker prints, and keeps the newest.

    Attributes:
        told: the newest progress; None before the first iteration.
        preview: name of the newest preview.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(daemon=True)
        self._lines = lines
        self.told: dict[str, float] | None = None
        self.preview: str | None = None

    def run(self) -> None:
        for line in self._lines:
            try:
                told = json.loads(line)
            except ValueError:  # the output of a library, or a part of a line of a killed worker
                continue
            if isinstance(told, dict):
                self.preview = told.pop("preview", None) or self.preview
                self.told = told


def _text(told: dict[str, float]) -> str:
    """Return the line of text that describes the progress."""
    done, seconds = told["done"], told["seconds"]
    left = f", about {seconds * (1 - done) / done:.0f} s left" if 0 < done < 1 else ""
    return (
        f"Scale {told['scale']:.0f} of {told['scales']:.0f} ({told['width']:.0f}×{told['height']:.0f} pixels), "
        f"iteration {told['iteration']:.0f} of {told['iterations']:.0f}, loss {told['loss']:.4g}{left}"
    )


def _start(session: Session, folder: Path, command: Sequence[str]) -> "subprocess.Popen[str]":
    """Start the worker.

    Raises:
        InputError: If the page was closed, or has a run already.
    """
    # The worker imports the same nstjax as this process; -P keeps the working directory out of its path.
    path = os.pathsep.join([str(Path(nstjax.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with session.lock:
        if session.closed:
            raise InputError("the page was closed")
        if session.worker is not None:
            raise InputError("this page has a run already: stop it first")
        session.worker_folder = folder
        session.worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "nstjax.web.worker", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        )
        return session.worker


def optimize(session: Session, folder: Path, arguments: Sequence[str], animation: bool) -> Iterator[Update]:
    """Run ``nstjax transfer`` in a process of its own.

    Args:
        session: the session, whose :meth:`~nstjax.web.session.Session.stop` stops the run.
        folder: folder of the run, for ``picture.png``, its record, ``loss.png`` and ``steps.gif``.
        arguments: the arguments without the outputs.
        animation: also write ``steps.gif``.

    Yields:
        An :class:`Update` several times a second, and one at the end.

    Raises:
        InputError: If the input is not valid, or the run ended without a picture.
    """
    outputs = ["-o", str(folder / PICTURE), "--plot", str(folder / PLOT)]
    outputs += ["--gif", str(folder / ANIMATION)] if animation else []
    command = [str(folder), *arguments, *outputs, "--quiet", "--save-state-every", "0"]
    process = _start(session, folder, command)
    errors: list[str] = []
    reader = _Reader(process.stdout or ())
    others = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    others.start()
    shown = None
    try:
        yield Update(0.0, "Loading the network and compiling")
        while reader.is_alive():
            reader.join(UPDATE_EVERY_S)
            told = reader.told
            if told is not None and told is not shown:
                shown = told
                preview = None if reader.preview is None else folder / reader.preview
                yield Update(
                    told["done"], _text(told), preview if preview is not None and preview.exists() else None
                )
        code = process.wait()
        others.join(5)
    finally:  # also if the page was closed
        process.kill()
        process.wait()
        with session.lock:
            session.worker = session.worker_folder = None
    made = (folder / PICTURE).exists()
    if made and code in (0, FAILED, BY_SIGNAL + 2):
        end = {0: "Finished", FAILED: with_flags(_reason(errors, code))}.get(
            code, "Stopped: the picture so far"
        )
        if reader.told is not None:
            end += f", loss {reader.told['loss']:.4g}, {reader.told['seconds']:.0f} s"
        yield Update(1.0, end, folder / PICTURE, finished=True)
        return
    raise InputError(with_flags(_reason(errors, code)))


def _reason(errors: Sequence[str], code: int) -> str:
    """Return why a run failed, from its messages and its exit code."""
    sentences = [line.strip() for line in errors if line.startswith(_ERROR)]
    if sentences:
        return sentences[-1].removeprefix(_ERROR)
    if code < 0:
        return f"the run was ended by signal {-code}, possibly because memory ran out: choose a smaller size"
    return f"the run ended with exit code {code}"
