"""Ctrl-C as a request."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_interrupt() -> Iterator[dict[str, bool]]:
    """The first Ctrl-C asks the run to stop after its iteration; the second breaks it off."""
    asked = {"stop": False}

    def ask(*_: object) -> None:
        if asked["stop"]:
            raise KeyboardInterrupt
        asked["stop"] = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread: whoever called keeps the signal
        yield asked
        return
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
