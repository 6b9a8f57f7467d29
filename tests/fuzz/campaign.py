"""Starts workers, gives them inputs, and judges what comes back."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import queue
import re
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helpers.paths import ROOT

LONGEST = 20.0  # seconds for one input
MOST_MEMORY = 3.0  # GiB of the process; it keeps what earlier inputs took
FIRST = 120.0  # for a worker's first input of a kind: imports, compilation, and the valid input


@dataclasses.dataclass(frozen=True)
class Failure:
    """An input that ended otherwise than with a result or one sentence."""

    target: str
    number: int
    why: str
    details: str


def judged(outcome: dict[str, Any]) -> Failure | None:
    """The failure that an outcome is, or None."""
    end, message, said = outcome["end"], outcome["message"], outcome["stderr"]

    def failure(why: str) -> Failure:
        return Failure(outcome["target"], outcome["number"], why, f"{message}\n{said}"[:4000])

    if end == "traceback" or "Traceback (most recent call last)" in said:
        return failure("a traceback")
    if outcome["seconds"] > LONGEST and not outcome["first"]:
        return failure(f"took {outcome['seconds']} s")
    if outcome["gib"] > MOST_MEMORY:
        return failure(f"the process has taken {outcome['gib']} GiB")
    lines = [line for line in said.splitlines() if line.strip()]
    if end != "refused":
        noise = [line for line in lines if not line.startswith("note: ")]
        return failure("unexpected lines on standard error") if noise and end == "accepted" else None
    if not message:  # of the program
        errors = [line for line in lines if line.startswith("nstjax: error: ")]
        if len(errors) != 1 or any(not line.startswith(("note: ", "nstjax: ")) for line in lines):
            return failure("not one sentence")
        message = errors[0]
    if "\n" in message:
        return failure("more than one line")
    given = [ascii(word)[1:-1] for word in outcome["given"] if word]
    named = (
        any(word in ascii(message) for word in given)
        or re.search(r"(^|[\s(])(--?[a-zA-Z]|`[a-z])", message)  # a flag, or in the library a field
        or "/" in message
    )
    words = ("CONTENT", "STYLE", "IMAGE", "PHOTO", "argument", "command", "option")
    if not named and not any(word in message for word in words):
        return failure("names neither a file nor an option")
    return None


class _Worker:
    def __init__(self, bases: Path) -> None:
        self._bases, self._seen = bases, set[str]()
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "NSTJAX_CACHE": str(self._bases / "cache"), "PYTHONWARNINGS": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(self._bases)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._seen.clear()

    def run(self, name: str, number: int) -> dict[str, Any]:
        first, line = name not in self._seen, b""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, number]).encode() + b"\n")
        self._process.stdin.flush()
        if select.select([self._process.stdout], [], [], FIRST if first else 2 * LONGEST)[0]:
            line = self._process.stdout.readline()
        self._seen.add(name)
        if line:
            return {**json.loads(line), "first": first}
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        self.stop()
        self._start()
        end = {
            "target": name,
            "number": number,
            "first": first,
            "stderr": "",
            "seconds": 0.0,
            "gib": 0.0,
            "given": [],
        }
        why = "the process hung" if code is None else f"the process ended with {code}"
        return {**end, "end": "traceback", "message": why}

    def stop(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.kill()
        self._process.wait()


def run(
    inputs: Sequence[tuple[str, int]], workers: int = 1, progress: Any = lambda outcome: None
) -> tuple[dict[str, collections.Counter[str]], list[Failure]]:
    """Run inputs, given as target and number.

    Returns:
        How often each target ended how, and the failures.
    """
    waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    for one in inputs:
        waiting.put(one)
    ends: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    failures: list[Failure] = []
    lock = threading.Lock()

    def serve(bases: Path) -> None:
        worker = _Worker(bases)
        try:
            while True:
                try:
                    name, number = waiting.get_nowait()
                except queue.Empty:
                    return
                outcome = worker.run(name, number)
                found = judged(outcome)
                with lock:
                    ends[name]["failed" if found else outcome["end"]] += 1
                    if found:
                        failures.append(found)
                    progress(outcome)
        finally:
            worker.stop()

    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(index) for index in range(workers)]
        for place in places:
            place.mkdir()
        with concurrent.futures.ThreadPoolExecutor(workers) as threads:
            list(threads.map(serve, places))  # raises what a thread has raised
    assert sum(counter.total() for counter in ends.values()) == len(inputs)
    return dict(ends), failures
