"""Programs timed in turns, and how much of the machine was left for them."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAUSE = 0.1  # seconds between two programs: OpenMP's threads spin for some time after their work


@dataclasses.dataclass
class Times:
    """Of a program's repeats, in seconds.

    Attributes:
        wall: by the clock.
        cpu: of all threads together. Other programs on the machine change it little; but threads that wait in a
            loop spend it too (OpenMP's do, unless OMP_WAIT_POLICY is PASSIVE).
    """

    wall: list[float]
    cpu: list[float]


def measure(programs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    """Times of each, measured in turns after one round to warm up."""
    times = {name: Times([], []) for name in programs}
    for repeat in range(repeats + 1):
        for name, run in programs.items():
            time.sleep(PAUSE)
            began, spent = time.perf_counter(), time.process_time()
            run()
            if repeat:
                times[name].wall.append(time.perf_counter() - began)
                times[name].cpu.append(time.process_time() - spent)
    return times


class Neighbours:
    """What other processes, but this one's children, took of the cores' time since it was made (Linux)."""

    def __init__(self) -> None:
        self._began = self._seconds()

    @staticmethod
    def _seconds() -> tuple[float, float]:
        fields = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # neither idle nor waiting
        return sum(os.times()[:4]), busy  # of children that have ended, too

    def share(self) -> float:
        """Of all time that was spent; 0 is a quiet machine."""
        ours, busy = (now - then for now, then in zip(self._seconds(), self._began, strict=True))
        return round(max(0.0, 1 - ours / max(busy, 1e-9)), 3)
