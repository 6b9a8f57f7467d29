"""What is shown while a command works: a live bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nstjax.synthesis.solve import Progress as TransferProgress

PLAIN_EVERY_S = 10.0


class Display:
    """Shows progress on standard error; a context manager.

    Args:
        label: names the picture.
        quiet: show nothing.
    """

    def __init__(self, label: str, quiet: bool = False) -> None:
        self._console = Console(file=sys.stderr, stderr=True)
        self._live: Progress | None = None
        self._label, self._quiet = label, quiet
        self._last_line, self._began, self._began_at = float("-inf"), time.monotonic(), 0.0
        if not quiet and self._console.is_terminal:
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
        """A line of its own, above the bar."""
        if not self._quiet:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, progress: TransferProgress) -> None:
        """Called after every iteration."""
        if self._quiet:
            return
        entry, (height, width) = progress.entry, progress.size
        text = (
            f"{self._label}  scale {entry.scale + 1}/{progress.scales} ({width}×{height})  "
            f"iteration {entry.iteration}/{progress.iterations}  loss {entry.loss:.4g}"
        )
        self.update(progress.done, text, entry.iteration == progress.iterations)

    def update(self, done: float, text: str, final: bool = False) -> None:
        """Show what share of the work is done; where there is no bar, every now and then, and if ``final``."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._task, completed=done, description=text)
            return
        now = time.monotonic()
        if self._last_line == float("-inf"):
            self._began, self._began_at = now, done
        if now - self._last_line >= PLAIN_EVERY_S or final:
            self._last_line = now
            rate = (done - self._began_at) / (now - self._began) if now > self._began else 0.0
            left = f"  about {(1 - done) / rate:.0f} s left" if rate > 0 and done < 1 else ""
            self.say(f"{text}{left}")
