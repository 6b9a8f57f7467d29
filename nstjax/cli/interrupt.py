"""Ctrl-C, SIGTERM (docker stop, Slurm) and SIGHUP (a closed terminal), and the exit codes that they lead to."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_received: list[int] = []


def exit_code() -> int:
    """The conventional exit code of an interrupted run: 128 plus the signal, 130 for Ctrl-C."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


def _leave(number: int, _: FrameType | None) -> None:
    """End the process at once, without clean-up; an exception could end in a traceback of a library."""
    show_cursor = b"\x1b[?25h" if os.isatty(2) else b""
    with contextlib.suppress(OSError):
        os.write(2, show_cursor + b"nstjax: interrupted\n")
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    if _received:
        _leave(number, frame)
    _received.append(number)
    raise KeyboardInterrupt


def _install(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Handle the signals; returns the handlers before. Does nothing outside the main thread, where Python cannot."""
    before = {}
    with contextlib.suppress(ValueError):
        for number in SIGNALS:
            now = signal.getsignal(number)
            # nohup has SIGHUP ignored.
            if now is not None and (number == signal.SIGINT or now != signal.SIG_IGN):
                before[number] = signal.signal(number, handler)
    return before


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle the signals within the block."""
    before = _install(handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def leave_on_signal() -> None:
    """From now on a signal ends the process at once, with one line."""
    _install(_leave)


def raise_on_signal() -> contextlib.AbstractContextManager[None]:
    """Within the block the first signal raises KeyboardInterrupt, and the second ends the process."""
    _received.clear()
    return _handling(_raise)


class Interrupt:
    """A request to stop.

    Attributes:
        stop: whether there is one.
    """

    def __init__(self) -> None:
        self.stop = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        # Terminals and cluster managers send several signals: only a second Ctrl-C is impatience.
        if self.stop and number == signal.SIGINT:
            _leave(number, frame)
        self.stop = True
        _received.append(number)


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Interrupt]:
    """Within the block a signal asks the run to stop after its iteration; a second Ctrl-C ends the process."""
    _received.clear()
    interrupt = Interrupt()
    with _handling(interrupt._ask):
        yield interrupt
