"""The progress display: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import contextvars
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nstjax.cli.flags import with_flags
from nstjax.errors import InputError
from nstjax.synthesis.solve import Progress as TransferProgress

PLAIN_EVERY_S = 10.0


_collected: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("collected", default=None)


@contextlib.contextmanager
def collected_lines() -> Iterator[list[str]]:
    """Yield a list that receives what displays of this thread say in the block; they show no progress.

    It is for a picture that is made beside others.
    """
    lines: list[str] = []
    token = _collected.set(lines)
    try:
        yield lines
    finally:
        _collected.reset(token)


class Display:
    """The progress display on standard error; a context manager. See also :func:`collected_lines`.

    Args:
        label: name of the picture or run.
        quiet: show nothing.

    Attributes:
        failed: names of what the last :meth:`attempt` could not save.
        beside: the picture is made beside others, see :func:`collected_lines`.
    """

    def __init__(self, label: str, quiet: bool = False) -> None:
        self._console = Console(file=sys.stderr, stderr=True)
        self._live: Progress | None = None
        self._label, self._quiet = label, quiet
        self.failed: set[str] = set()
        self._lines = _collected.get()
        self.beside = self._lines is not None
        self._last_line, self._began, self._began_at = float("-inf"), time.monotonic(), 0.0
        if not quiet and self._lines is None and self._console.is_terminal:
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._live.add_task(label, total=1.0)

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._quiet:
            return
        if self._lines is not None:
            self._lines.append(line)
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def error(self, line: str) -> None:
        """Print an error above the bar, also if the display is quiet."""
        if self._lines is not None:
            self._lines.append(line)
        else:
            print(line, file=sys.stderr)

    def attempt(self, what: str, save: Callable[[], None]) -> None:
        """Save something that the run does not depend on. A failure is reported once, and the run continues.

        Args:
            what: its name, for the note.
            save: function that saves it.
        """
        try:
            save()
            self.failed.discard(what)
        except InputError as error:
            if what not in self.failed:
                self.say(f"note: the {what} was not saved: {with_flags(str(error))}")
            self.failed.add(what)

    def show(self, progress: TransferProgress) -> None:
        """Show the progress of a synthesis after an iteration."""
        if self._quiet or self._lines is not None:
            return
        entry, (height, width) = progress.entry, progress.size
        text = (
            f"{self._label}  scale {entry.scale + 1}/{progress.scales} ({width}×{height})  "
            f"iteration {entry.iteration}/{progress.iterations}  loss {entry.loss:.4g}"
        )
        self.update(progress.done, text, entry.iteration == progress.iterations or None)

    def update(self, done: float, text: str, line: bool | None = None) -> None:
        """Show how much of the work is done.

        Args:
            done: fraction of the work that is done, in [0, 1].
            text: text beside the bar.
            line: if there is no bar, print a line (True) or not (False); None prints one every ten seconds.
        """
        if self._quiet or self._lines is not None:
            return
        if self._live is not None:
            self._live.update(self._task, completed=done, description=text)
            return
        now = time.monotonic()
        if self._last_line == float("-inf"):
            self._began, self._began_at = now, done
        if now - self._last_line >= PLAIN_EVERY_S if line is None else line:
            self._last_line = now
            rate = (done - self._began_at) / (now - self._began) if now > self._began else 0.0
            left = f"  about {(1 - done) / rate:.0f} s left" if rate > 0 and done < 1 else ""
            self.say(f"{text}{left}")
