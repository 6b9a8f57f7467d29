"""Makes several pictures on the workers of a Dask cluster (extra ``cluster``).

Each picture is a task. If a worker stops, Dask runs its tasks on other workers. A task writes its picture itself, so all
workers need the same file system; the client only receives messages. A picture that is finished is not made again, so
an interrupted command can be started again.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nstjax.cli.display import Display, collected_lines
from nstjax.cli.interrupt import exit_code, stop_on_interrupt
from nstjax.cli.many import J, Runner, on_free_device, say_finished
from nstjax.cli.runtime import keep_programs, warnings_as_notes
from nstjax.errors import InputError, first_line

Loaded = TypeVar("Loaded")
LOCAL = "local"
CPU_WORKERS = 2  # workers of a local cluster on a CPU: JAX uses all cores in each of them
_POLL_S = 0.2
_CONNECT_S = 10


def check_cluster(spec: str) -> int:
    """Parse ``--cluster``; return the number of local workers, or 0 for the address of a scheduler.

    Args:
        spec: ``"local"``, ``"local:4"``, or an address such as ``"tcp://host:8786"``.

    Raises:
        InputError: If ``spec`` is not valid, or Dask is not installed.
    """
    name, _, count = spec.partition(":")
    if name == LOCAL and (not count or (count.isdigit() and 1 <= int(count) <= 1024)):
        workers = int(count) if count else (_gpus() or CPU_WORKERS)
    elif spec.startswith(("tcp://", "tls://", "ucx://", "ws://", "wss://")):
        workers = 0
    else:
        raise InputError(
            f"--cluster {spec} is not an address: give one such as tcp://host:8786, or local, or local:4 for 4 workers"
        )
    _distributed()
    return workers


def _distributed() -> Any:
    """Import ``distributed`` and silence its log messages below the level CRITICAL."""
    try:
        import dask
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install 'nstjax[cluster]'") from error
    dask.config.set({"logging": {"distributed": "critical", "tornado.application": "critical"}})
    try:
        import distributed
    except ImportError as error:
        raise InputError("--cluster needs Dask's distributed: pip install 'nstjax[cluster]'") from error
    return distributed


def _gpus() -> int:
    """Return the number of NVIDIA GPUs. JAX is not asked, because it would reserve their memory in this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _worker_variables(number: int) -> dict[str, str]:
    """Return the environment of a local worker: each sees one GPU."""
    gpus = _gpus()
    if not gpus:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    return {"CUDA_VISIBLE_DEVICES": visible[number % len(visible)]}


@contextlib.contextmanager
def _connected(spec: str) -> Iterator[Any]:
    """Yield a client of the cluster; a local cluster is started for it and ends with it.

    The workers of a local cluster and its client authenticate each other by a temporary TLS certificate, because on a
    machine with several users anyone could otherwise send code to them.
    """
    distributed, workers = _distributed(), check_cluster(spec)
    if not workers:
        try:
            client = distributed.Client(spec, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise InputError(
                f"--cluster {spec}: no scheduler answers there; start one with dask scheduler"
            ) from error
        except (TypeError, ValueError) as error:  # a malformed address, or tls:// without certificates
            raise InputError(
                f"--cluster {spec}: {first_line(error)}; check the address and Dask's TLS settings"
            ) from error
        with client:
            yield client
        return
    security = distributed.Security.temporary()
    options = {
        "nthreads": 1,
        "security": security,
        "dashboard_address": None,
        "memory_limit": 0,  # by default a worker is killed that uses more than its share of the memory
        "silence_logs": logging.CRITICAL,
    }
    nannies = {
        number: {"cls": distributed.Nanny, "options": {**options, "env": _worker_variables(number)}}
        for number in range(workers)
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"security": security, "dashboard": False, "host": "127.0.0.1", "port": 0},
    }
    with (
        distributed.SpecCluster(nannies, scheduler, security=security, silence_logs=False) as cluster,
        distributed.Client(cluster, security=security, set_as_default=False) as client,
    ):
        yield client


def new_command_id() -> str:
    """Return a new name for :func:`once_per_command`."""
    return os.urandom(16).hex()


_made: dict[str, Any] = {}
_lock = threading.Lock()


def once_per_command(command_id: str, make: Callable[[], Loaded]) -> Loaded:
    """Return ``make()``, called once for all tasks of a command that run in this process.

    A worker can live longer than a command, and the files of the next command can have changed.

    Args:
        command_id: name of the command, from :func:`new_command_id`.
        make: function that loads networks and images.
    """
    with _lock:
        if command_id not in _made:
            _made.clear()  # what earlier commands used
            _made[command_id] = make()
        found: Loaded = _made[command_id]
        return found


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task returns.

    Attributes:
        lines: what the picture's display said.
        code: the exit code.
        error: the exception, if there was one.
    """

    lines: tuple[str, ...]
    code: int = 0
    error: Exception | None = None


def run_task(make: Callable[[J], int], job: J, compilation_cache: bool) -> Outcome:
    """Make a picture on a worker. Each of the worker's threads uses a local device of its own."""
    with collected_lines() as lines, on_free_device(), warnings_as_notes(lines.append):
        try:
            keep_programs(compilation_cache, quiet=True)
            code = make(job)
            return Outcome(tuple(lines), code)
        except Exception as error:
            return Outcome(tuple(lines), error=_sendable(error))


def _sendable(error: Exception) -> Exception:
    """Return an exception that the client can unpickle: the given one if possible."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def on_cluster(spec: str, compilation_cache: bool, quiet: bool) -> Runner[Any]:
    """Return a :data:`~nstjax.cli.many.Runner` for the workers of a cluster.

    The function that makes a picture is sent to the workers. It must be a module-level function or a
    ``functools.partial`` of one, and must load networks and images itself.

    Args:
        spec: see :func:`check_cluster`.
        compilation_cache: cache compiled programs on the workers.
        quiet: show no progress.
    """
    return functools.partial(_run, spec, compilation_cache, quiet)


def _run(
    spec: str, compilation_cache: bool, quiet: bool, jobs: Sequence[J], make: Callable[[J], int]
) -> Generator[tuple[J, int | Exception], None, None]:
    with stop_on_interrupt() as interrupt, _connected(spec) as client, Display("pictures", quiet) as display:
        tasks = {
            client.submit(
                run_task, make, job, compilation_cache, key=f"nstjax-{number}-{os.urandom(8).hex()}"
            ): job
            for number, job in enumerate(jobs)
        }
        left = set(tasks)
        while left:
            time.sleep(_POLL_S)
            for task in [task for task in left if task.done()]:
                left.discard(task)
                job = tasks[task]
                if task.status in ("cancelled", "lost"):
                    raise InputError(
                        f"--cluster {spec}: the connection to the scheduler was lost; start the same command again to continue"
                    )
                if task.status != "finished":  # several workers stopped during this task
                    yield job, RuntimeError(first_line(task.exception()))
                    continue
                outcome: Outcome = task.result()
                say_finished(outcome.lines)
                yield job, outcome.code if outcome.error is None else outcome.error
            if interrupt.stop and left:
                client.cancel(list(left))
                display.say(f"interrupted; {len(jobs) - len(left)} of {len(jobs)} pictures finished")
                yield tasks[next(iter(left))], exit_code()
                return
            workers = len(client.scheduler_info()["workers"])
            display.update(
                1 - len(left) / len(jobs),
                f"{len(jobs) - len(left)} of {len(jobs)} pictures  {workers} workers",
            )
