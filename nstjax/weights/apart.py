"""Reads weights files in a separate process with limits on time and memory.

The readers parse untrusted bytes, in part with C libraries (HDF5, SciPy's MAT reader, Python's pickle) in which a
damaged or malicious file can crash the process, loop without end or ask for any amount of memory. A child process
bears the damage. It returns a line of JSON and plain float32 arrays, which this process checks before it uses them.

Limits, where the system has them (Linux; macOS does not enforce the one on memory, Windows has neither):

* ``CPU_SECONDS`` and one second more for every ``BYTES_PER_SECOND`` bytes of the file;
* ``MEMORY`` bytes and ``MEMORY_FACTOR`` times the file's size. VGG's float32 weights of 80 MB (548 MB with the
  classifier) are held at most twice beside the file's bytes.

Everywhere, the child is killed after ``WALL_FACTOR`` times as many seconds.
"""

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

from nstjax.errors import InputError
from nstjax.nn.table import conv_names
from nstjax.weights.canonical import MAX_ELEMENTS, Arrays, preprocessing_from
from nstjax.weights.formats import KINDS, Contents, read_contents

CPU_SECONDS, BYTES_PER_SECOND, WALL_FACTOR = 5, 5_000_000, 12
MEMORY, MEMORY_FACTOR = 512 * 2**20, 6
_HEADER_BYTES = 2**16
# The child finds modules where this process does. -P: not in the working directory, unless this process does.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[5:]; from nstjax.weights.apart import child; child(*sys.argv[1:5])"
)


def _set_limits(seconds: int, memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (
            seconds,
            seconds + 2,
        ),  # SIGXCPU at the first, which says why; SIGKILL at the second
        resource.RLIMIT_DATA: (memory, memory),
    }
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # above a limit already set, or not supported
            resource.setrlimit(kind, limit)


def _write(contents: Contents, out: IO[bytes]) -> None:
    how = contents.preprocessing
    header = {
        "kind": contents.kind,
        "preprocessing": None if how is None else dataclasses.asdict(how),
        "reason": contents.reason,
        "shapes": {
            name: [weights["kernel"].shape, weights["bias"].shape] for name, weights in contents.tree.items()
        },
    }
    out.write(json.dumps(header).encode() + b"\n")
    for weights in contents.tree.values():
        for part in ("kernel", "bias"):
            out.write(np.ascontiguousarray(weights[part], np.float32).tobytes())


def child(path: str, sha256: str, seconds: str, memory: str) -> None:
    """Read a file and write it to standard output; runs in the child process."""
    _set_limits(int(seconds), int(memory))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints does not mix with the answer
    try:
        contents = read_contents(Path(path), sha256)
    except InputError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
    else:
        _write(contents, out)
    out.close()


def _receive(out: IO[bytes], path: Path) -> Contents:
    """The child's answer, checked.

    Raises:
        InputError: the child refused the file.
        ValueError: the answer is cut off or makes no sense.
    """
    header = json.loads(out.readline(_HEADER_BYTES))
    if isinstance(header.get("error"), str):
        raise InputError(header["error"])
    kind, reason, shapes = header["kind"], header["reason"], header["shapes"]
    if kind not in KINDS or not isinstance(reason, str) or not set(shapes) <= set(conv_names("vgg19")):
        raise ValueError("an answer of another kind")
    tree: Arrays = {}
    for name, pair in shapes.items():
        tree[name] = {}
        for part, shape in zip(("kernel", "bias"), pair, strict=True):
            if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) > MAX_ELEMENTS:
                raise ValueError("an array that is too large")
            array = np.empty(shape, np.float32)
            content = out.read(array.nbytes)
            if len(content) != array.nbytes:
                raise ValueError("an answer that is cut off")
            array[...] = np.frombuffer(content, np.float32).reshape(shape)
            if not np.isfinite(array).all():
                raise ValueError("values that are not finite")
            tree[name][part] = array
    how = header["preprocessing"]
    try:
        preprocessing = None if how is None else preprocessing_from(how, path)
    except InputError:
        preprocessing = None
    return Contents(kind, tree, preprocessing, reason)


def _ending(code: int, seconds: int) -> str:
    """Return how a child process ended that gave no result."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"took more than {seconds} s"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by the signal {signal.Signals(-code).name}"
    return f"ended with the exit code {code}"


def read_apart(path: Path, sha256: str) -> Contents:
    """Read a weights file in a child process.

    Args:
        path: an existing regular file.
        sha256: of its bytes.

    Returns:
        float32 arrays, all finite, of at most ``MAX_ELEMENTS`` elements.

    Raises:
        InputError: as :func:`nstjax.weights.formats.read_contents`; or reading crashes, takes too long, or needs
            more memory than weights do.
    """
    size = path.stat().st_size
    seconds = CPU_SECONDS + size // BYTES_PER_SECOND
    limits = [str(seconds), str(MEMORY + MEMORY_FACTOR * size)]
    command = [sys.executable, "-P", "-c", _PROGRAM, str(path), sha256, *limits, *sys.path]
    # Threads of linear algebra would only take memory; "::" keeps HDF5 from loading plugins.
    settings = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
    pipes: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    try:
        process = subprocess.Popen(command, env={**os.environ, **settings}, **pipes)
    except OSError as error:
        raise InputError(
            f"cannot start the process that reads {path} ({error.strerror}): check that {sys.executable!r} runs"
        ) from error
    assert process.stdout is not None
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(WALL_FACTOR * seconds, stop)
    timer.start()
    try:
        with process.stdout as out:
            return _receive(out, path)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(WALL_FACTOR * seconds)
        ending = _ending(process.poll() or 0, seconds)
        if expired.is_set():
            ending = f"took more than {WALL_FACTOR * seconds} s"
        raise InputError(
            f"the weights {path} are damaged (the process that read them {ending}): fetch or copy them again"
        ) from error
    finally:
        timer.cancel()
        process.kill()
        process.wait()
