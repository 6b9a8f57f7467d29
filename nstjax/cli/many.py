"""Ways to make several pictures: one after another, or at the same time on all local devices.

A :data:`Runner` makes each picture once and yields its outcome. :mod:`nstjax.cli.cluster` has one for other machines.
"""

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeAlias, TypeVar

from nstjax.cli.interrupt import BY_SIGNAL, exit_code, stop_on_interrupt

_devices: list[queue.SimpleQueue[Any]] = []  # one queue of the free devices, once it is needed
_device = contextvars.ContextVar[Any]("device", default=None)  # that of on_free_device
_copies: dict[tuple[int, Any], tuple[Any, Any]] = {}  # of on_this_device
_lock = threading.Lock()
J = TypeVar("J")
Runner: TypeAlias = Callable[
    [Sequence[J], Callable[[J], int]], Generator[tuple[J, int | Exception], None, None]
]
"""A function ``runner(jobs, make)``. ``make(job)`` makes one picture and returns its exit code. The runner yields
``(job, exit code or exception)`` in any order. After a signal it makes no further pictures."""


def one_by_one(
    jobs: Sequence[J], make: Callable[[J], int]
) -> Generator[tuple[J, int | Exception], None, None]:
    """A :data:`Runner` that makes the pictures in order."""
    for job in jobs:
        try:
            outcome: int | Exception = make(job)
        except Exception as error:  # a damaged file can raise nearly any exception
            outcome = error
        yield job, outcome
        if isinstance(outcome, int) and outcome > BY_SIGNAL:
            return


def on_local_devices(
    jobs: Sequence[J], make: Callable[[J], int]
) -> Generator[tuple[J, int | Exception], None, None]:
    """A :data:`Runner` that makes one picture at a time on each local device.

    Each picture is made in a thread whose default device (``jax.default_device``) is that device. It gives the same
    picture as on one device. The messages of a picture are printed when it is finished. With one device or one job it runs
    :func:`one_by_one`.
    """
    import jax

    from nstjax.cli.display import collected_lines  # imports JAX, so it is not imported at the start

    devices = jax.local_device_count()
    if devices == 1 or len(jobs) == 1:
        yield from one_by_one(jobs, make)
        return
    with stop_on_interrupt() as interrupt, ThreadPoolExecutor(devices) as pool:

        def attempt(job: J) -> tuple[list[str], int | Exception]:
            with collected_lines() as lines:
                if interrupt.stop:
                    return lines, exit_code()
                try:
                    with on_free_device():
                        return lines, make(job)
                except KeyboardInterrupt:  # from raise_if_stopped
                    return lines, exit_code()
                except Exception as error:
                    return lines, error

        begun = {pool.submit(attempt, job): job for job in jobs}
        for done in as_completed(begun):
            lines, outcome = done.result()
            say_finished(lines)
            yield begun[done], outcome


@contextlib.contextmanager
def on_free_device() -> Iterator[None]:
    """Wait for a local device that no other thread uses here, and make it the default device of this thread."""
    import jax

    devices = jax.local_devices()
    with _lock:
        if not _devices:
            _devices.append(queue.SimpleQueue())
            for device in devices:
                _devices[0].put(device)
    device = _devices[0].get()
    token = _device.set(device if len(devices) > 1 else None)
    try:
        with jax.default_device(device):
            yield
    finally:
        _device.reset(token)
        _devices[0].put(device)


def say_finished(lines: Sequence[str]) -> None:
    """Print the messages of a picture that was made beside others."""
    from nstjax.cli.display import Display

    display = Display("")
    for line in lines:
        display.say(line)


def beside_others() -> bool:
    """Return True in the block of :func:`on_free_device`, if there are several devices."""
    return _device.get() is not None


def on_this_device(tree: Any) -> Any:
    """Return a pytree of arrays on the default device of this thread; one copy is made for each device.

    Args:
        tree: the arrays. If the thread has a device of its own, the copy is kept until another tree is copied.
    """
    import jax

    device = _device.get()
    if device is None:
        return tree
    with _lock:
        key = (id(tree), device)
        if key not in _copies:
            for other in [other for other in _copies if other[0] != id(tree)]:
                del _copies[other]  # of an earlier command
            _copies[key] = (
                tree,
                jax.device_put(tree, device),
            )  # the tree is kept, so that its id stays its own
        return _copies[key][1]
