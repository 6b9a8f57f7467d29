"""Times programs in turns, and measures the CPU time that other processes used."""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PAUSE = 0.1  # seconds between two programs, because OpenMP's threads spin for some time after their work


@dataclasses.dataclass
class Times:
    """Times of the repeats of a program, in seconds.

    Attributes:
        wall: wall-clock times.
        cpu: CPU times of all threads together. Other programs on the machine change them little. Threads that
            wait in a loop also use CPU time, as OpenMP's do unless OMP_WAIT_POLICY is PASSIVE.
    """

    wall: list[float]
    cpu: list[float]


def measure(programs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    """Time programs in turns, after one round of warm-up.

    Args:
        programs: functions without arguments, by name.
        repeats: number of measured rounds.

    Returns:
        Times by name.
    """
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
    """The CPU time that other processes have used since the object was created. Linux only.

    This process and its children are not counted.
    """

    def __init__(self) -> None:
        self._began = self._seconds()

    @staticmethod
    def _seconds() -> tuple[float, float]:
        """Return the CPU seconds of this process and its finished children, and of the whole machine."""
        fields = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait
        return sum(os.times()[:4]), busy  # os.times includes children that have ended

    def share(self) -> float:
        """Return the fraction of the used CPU time that other processes used; 0 on an idle machine."""
        ours, busy = (now - then for now, then in zip(self._seconds(), self._began, strict=True))
        return round(max(0.0, 1 - ours / max(busy, 1e-9)), 3)
