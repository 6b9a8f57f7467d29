"""Handling of Ctrl-C, SIGTERM (docker stop, Slurm) and SIGHUP (a closed terminal), and their exit codes."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
BY_SIGNAL = 128  # the exit code of a run that a signal ended is larger
_received: list[int] = []


def exit_code() -> int:
    """Return the conventional exit code of an interrupted run: 128 plus the signal's number, 130 for Ctrl-C."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


def _leave(number: int, _: FrameType | None) -> None:
    """End the process at once, without cleanup. An exception could end in a traceback from a library."""
    show_cursor = b"\x1b[?25h" if os.isatty(2) else b""
    with contextlib.suppress(OSError):
        os.write(2, show_cursor + b"nstjax: interrupted\n")
    os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for the first signal; end the process at the second."""
    if _received:
        _leave(number, frame)
    _received.append(number)
    raise KeyboardInterrupt


def _install(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Install a handler for the signals; return the previous handlers.

    Outside the main thread Python does not allow this, and the function does nothing.
    """
    before = {}
    with contextlib.suppress(ValueError):
        for number in SIGNALS:
            now = signal.getsignal(number)
            # Signals that are ignored stay ignored, such as SIGHUP under nohup; SIGINT is always handled.
            if now is not None and (number == signal.SIGINT or now != signal.SIG_IGN):
                before[number] = signal.signal(number, handler)
    return before


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Install a handler for the signals during the block."""
    before = _install(handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def raise_if_stopped() -> None:
    """Raise KeyboardInterrupt in a thread other than the main one if a signal has asked the run to stop."""
    if _active and _active[-1].stop and threading.current_thread() is not threading.main_thread():
        raise KeyboardInterrupt


def leave_on_signal() -> None:
    """Make every signal end the process at once, with one line on standard error."""
    _install(_leave)


def raise_on_signal() -> contextlib.AbstractContextManager[None]:
    """Return a context manager in which the first signal raises KeyboardInterrupt and the second ends the process."""
    _received.clear()
    return _handling(_raise)


class Interrupt:
    """A request to stop.

    Attributes:
        stop: True after a signal.
    """

    def __init__(self) -> None:
        self.stop = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: request a stop, or end the process at a second Ctrl-C."""
        # Terminals and cluster managers may send several signals; only a second Ctrl-C is the user's.
        if self.stop and number == signal.SIGINT:
            _leave(number, frame)
        self.stop = True
        _received.append(number)


_active: list[Interrupt] = []


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Interrupt]:
    """Yield an :class:`Interrupt`, which a signal in the block sets; a second Ctrl-C ends the process.

    The run reads :attr:`Interrupt.stop` after each iteration and stops. In another thread, it is the one of the main
    thread's block, if there is one.
    """
    if _active and threading.current_thread() is not threading.main_thread():
        yield _active[-1]
        return
    _received.clear()
    interrupt = Interrupt()
    _active.append(interrupt)
    try:
        with _handling(interrupt._ask):
            yield interrupt
    finally:
        _active.remove(interrupt)
