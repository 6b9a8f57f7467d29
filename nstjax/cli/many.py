"""Ways to make several pictures: one after another, or at the same time on all local devices.

A :data:`Runner` makes each picture once and yields its outcome. :mod:`nstjax.cli.cluster` has one for other machines.
"""

import contextvars
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeAlias, TypeVar

from nstjax.cli.display import collected_lines
from nstjax.cli.interrupt import exit_code, stop_on_interrupt

J = TypeVar("J")
Runner: TypeAlias = Callable[
    [Sequence[J], Callable[[J], int]], Generator[tuple[J, int | Exception], None, None]
]
"""Function of the jobs and of a function that makes one and returns the exit code. It yields each job with its exit
code, or with the exception that it raised, in any order."""


def one_by_one(
    jobs: Sequence[J], make: Callable[[J], int]
) -> Generator[tuple[J, int | Exception], None, None]:
    """A :data:`Runner` that makes the pictures in order."""
    for job in jobs:
        try:
            yield job, make(job)
        except Exception as error:  # a damaged file can raise nearly any exception
            yield job, error


def on_local_devices(
    jobs: Sequence[J], make: Callable[[J], int]
) -> Generator[tuple[J, int | Exception], None, None]:
    """A :data:`Runner` that makes one picture at a time on each local device.

    Each picture is made in a thread whose default device (``jax.default_device``) is that device. It gives the same
    picture as on one device. What a picture's display says is printed when it is finished. With one device, it is
    :func:`one_by_one`.
    """
    import jax

    devices = jax.local_devices()
    if len(devices) == 1 or len(jobs) == 1:
        yield from one_by_one(jobs, make)
        return
    free = queue.SimpleQueue[Any]()
    for device in devices:
        free.put(device)
    with stop_on_interrupt() as interrupt, ThreadPoolExecutor(len(devices)) as pool:

        def attempt(job: J) -> tuple[list[str], int | Exception]:
            with collected_lines() as lines:
                if interrupt.stop:
                    return lines, exit_code()
                device = free.get()
                _device.set(device)
                try:
                    with jax.default_device(device):
                        return lines, make(job)
                except Exception as error:
                    return lines, error
                finally:
                    free.put(device)

        begun = {pool.submit(attempt, job): job for job in jobs}
        for done in as_completed(begun):
            lines, outcome = done.result()
            say_finished(lines)
            yield begun[done], outcome


def say_finished(lines: Sequence[str]) -> None:
    """Print what the display of a picture that was made beside others said."""
    from nstjax.cli.display import Display

    display = Display("")
    for line in lines:
        display.say(line)


_device = contextvars.ContextVar[Any]("device", default=None)  # of a thread of on_local_devices


def beside_others() -> bool:
    """Return True in a thread of :func:`on_local_devices`."""
    return _device.get() is not None


_copies: dict[tuple[int, Any], tuple[Any, Any]] = {}
_lock = threading.Lock()


def on_this_device(tree: Any) -> Any:
    """Return a pytree of arrays on the default device of this thread; one copy is made for each device.

    Args:
        tree: the arrays, which are kept in memory until the process ends if the thread has a device of its own.
    """
    import jax

    device = _device.get()
    if device is None:
        return tree
    with _lock:
        key = (id(tree), device)
        if key not in _copies:
            _copies[key] = (
                tree,
                jax.device_put(tree, device),
            )  # the tree is kept, so that its id stays its own
        return _copies[key][1]
