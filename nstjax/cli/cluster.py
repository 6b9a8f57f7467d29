"""Makes several pictures on the workers of a Dask cluster (extra ``cluster``).

Each picture is a task. Dask gives the tasks of a lost worker to the others. A task writes its picture itself, so all
workers need the same file system; the client only receives messages. A picture that is finished is not made again, so
a command that was interrupted continues.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nstjax.cli.display import Display, collected_lines
from nstjax.cli.interrupt import exit_code, stop_on_interrupt
from nstjax.cli.many import Runner, on_free_device, say_finished
from nstjax.cli.runtime import keep_programs, warnings_as_notes
from nstjax.errors import InputError

J = TypeVar("J")
LOCAL = "local"
CPU_WORKERS = 2  # workers of a local cluster on a CPU: JAX uses all cores in each of them
_POLL_S = 0.2
_CONNECT_S = 10


def check_cluster(spec: str) -> int:
    """Return the number of local workers that ``--cluster`` asks for; 0 for the address of a scheduler.

    Args:
        spec: ``"local"``, ``"local:4"``, or an address such as ``"tcp://host:8786"``.

    Raises:
        InputError: If it is neither, or Dask is not installed.
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
    """Import Dask's scheduler, with its log messages limited to errors."""
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
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise InputError(
                f"--cluster {spec}: no scheduler answers there; start one with dask scheduler"
            ) from error
        with client:
            yield client
        return
    security = distributed.Security.temporary()
    options = {
        "nthreads": 1,
        "security": security,
        "dashboard_address": None,
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
    keep_programs(compilation_cache, quiet=True)
    with collected_lines() as lines, on_free_device(), warnings_as_notes(lines.append):
        try:
            code = make(job)
            return Outcome(tuple(lines), code)
        except InputError as error:
            return Outcome(tuple(lines), error=error)
        except Exception as error:  # another exception may not survive the transfer to the client
            return Outcome(tuple(lines), error=RuntimeError(f"{type(error).__name__}: {error}"))


def on_cluster(spec: str, compilation_cache: bool, quiet: bool) -> Runner[Any]:
    """Return a :data:`~nstjax.cli.many.Runner` for the workers of a cluster.

    Its function that makes a picture is sent to the workers: it must be a function of a module, or a
    ``functools.partial`` of one, and it must load what it needs there.

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
            if interrupt.stop:
                client.cancel(list(left))
                yield tasks[next(iter(left))], exit_code()
                return
            for task in [task for task in left if task.done()]:
                left.discard(task)
                job = tasks[task]
                if task.status != "finished":  # the task was lost with several workers, one after another
                    yield job, RuntimeError(f"the task ended with {task.status}: {task.exception()}")
                    continue
                outcome: Outcome = task.result()
                if not quiet:
                    say_finished(outcome.lines)
                yield job, outcome.code if outcome.error is None else outcome.error
            workers = len(client.scheduler_info()["workers"])
            display.update(
                1 - len(left) / len(jobs),
                f"{len(jobs) - len(left)} of {len(jobs)} pictures  {workers} workers",
            )
