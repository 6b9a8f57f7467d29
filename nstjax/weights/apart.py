"""Reads weights files in a separate process with limits on time and memory.

The readers parse untrusted bytes, in part with C libraries (HDF5, SciPy's MAT reader, Python's pickle). A
damaged or malicious file can make them crash the process, loop forever, or request any amount of memory. The
files are therefore read in a child process. It returns a line of JSON and plain float32 arrays, which this
process checks before it uses them.

Limits, if the system supports them (Linux; macOS does not enforce the limit on memory, Windows supports neither):

* CPU time: ``CPU_SECONDS`` plus one second per ``BYTES_PER_SECOND`` bytes of the file;
* memory: ``MEMORY`` bytes plus ``MEMORY_FACTOR`` times the file's size. VGG's float32 weights of 80 MB (548 MB
with
  the classifier) are in memory at most twice, besides the file's bytes.

On all systems, the child process is killed after ``WALL_FACTOR`` times the limit on CPU time.
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
# The child uses the module search path of this process. -P keeps Python from adding the working directory to it.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[5:]; from nstjax.weights.apart import child; child(*sys.argv[1:5])"
)


def _set_limits(seconds: int, memory: int) -> None:
    """Limit the CPU time (in seconds) and the memory (in bytes) of this process, and disable core dumps."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (
            seconds,
            seconds + 2,
        ),  # the first limit sends SIGXCPU, which shows the reason; the second sends SIGKILL
        resource.RLIMIT_DATA: (memory, memory),
    }
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # above an existing limit, or not supported
            resource.setrlimit(kind, limit)


def _write(contents: Contents, out: IO[bytes]) -> None:
    """Write the contents of a weights file: a line of JSON, then the bytes of all arrays."""
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
    """Read a weights file and write its contents to standard output. This function runs in the child process.

    Args:
        path: the weights file.
        sha256: the hash of its bytes.
        seconds: the limit on CPU time, in seconds.
        memory: the limit on memory, in bytes.
    """
    _set_limits(int(seconds), int(memory))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries goes to standard error instead
    try:
        contents = read_contents(Path(path), sha256)
        unknown = sorted(set(contents.tree) - set(conv_names("vgg19")))
        if unknown:
            raise InputError(f"{path} holds {', '.join(unknown[:3])}: neither VGG-16 nor VGG-19")
    except InputError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
    else:
        _write(contents, out)
    out.close()


def _receive(out: IO[bytes], path: Path) -> Contents:
    """Read and check the child's result.

    Raises:
        InputError: If the child rejected the file.
        ValueError: If the result is truncated or invalid. Other exceptions are possible for an invalid header.
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
    """Return a description of how a child process without a result ended."""
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
        sha256: the hash of its bytes.

    Returns:
        The contents. All arrays are float32 and finite and have at most ``MAX_ELEMENTS`` elements.

    Raises:
        InputError: As for :func:`nstjax.weights.formats.read_contents`; or if the child process cannot be
            started, crashes, takes too long, or needs more memory than weights do.
    """
    size = path.stat().st_size
    seconds = CPU_SECONDS + size // BYTES_PER_SECOND
    limits = [str(seconds), str(MEMORY + MEMORY_FACTOR * size)]
    command = [sys.executable, "-P", "-c", _PROGRAM, str(path), sha256, *limits, *sys.path]
    # Threads of linear algebra libraries would only use memory. "::" keeps HDF5 from loading plugins.
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
