"""Speed of a program after its compilation: ``python -m experiments.benchmarks.heap``.

Measures the milliseconds of a training step and of the value and gradient of a transfer, with the embedded network, in
processes of their own (:mod:`nstjax.heap`):

- ``returned``: the C library returns freed memory to the system.
- ``holes``: it keeps freed memory, and a long compilation came before.
- ``filled``: the same process after :func:`nstjax.heap.fill_holes`.
- ``loaded``: a process that keeps freed memory and loads the program from the cache, so that nothing is compiled.

The cases are measured several times in turns, and the medians are reported. Writes ``experiments/benchmarks/heap.json``.
Run it on an otherwise idle machine.
"""

import dataclasses
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import nstjax
from experiments.benchmarks.embedded import evaluation
from experiments.benchmarks.timing import measure
from experiments.benchmarks.training import make_config, nstjax_programs
from nstjax.heap import fill_holes, keep_freed_memory
from nstjax.programs import enable_compilation_cache
from nstjax.reports import environment


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    crop: int = 128
    """Side of the training crops."""
    size: int = 512
    """Side of the transferred image."""
    repeats: int = 15
    """Of each program; the median counts."""
    rounds: int = 3
    """How many times all cases are measured; the median counts."""
    out: Path = Path(__file__).with_name("heap.json")
    """Where the numbers go."""


def training_step(side: int) -> Callable[[], Any]:
    """Return a compiled training step of four crops."""
    config = make_config(side, 0.5, "bilinear", 4, "embedded")
    rng = np.random.default_rng(0)
    style, photographs = (rng.uniform(size=(n, side, side, 3)).astype(np.float32) for n in (1, 4))
    programs, _ = nstjax_programs(config, nstjax.load_backbone("embedded"), style, photographs)
    return programs["step"]


def value_and_gradient(side: int) -> Callable[[], Any]:
    """Return the compiled value and gradient of a transfer at the default objective."""
    return evaluation(nstjax.load_backbone("embedded"), side, "auto")


PROGRAMS = {"training step": training_step, "value and gradient": value_and_gradient}


def milliseconds(name: str, side: int, repeats: int, keep: bool, fill: bool, cache: str) -> dict[str, float]:
    """Measure a program in this process, before and, if ``fill``, after holes are filled."""
    os.environ["NSTJAX_CACHE"] = cache
    if keep:
        keep_freed_memory(fill=False)
    refused = enable_compilation_cache()
    if refused is not None:
        raise SystemExit(refused)
    run = PROGRAMS[name](side)

    def median() -> float:
        return round(1e3 * float(np.median(measure({name: run}, repeats)[name].wall)), 1)

    found = {"before": median()}
    if fill:
        found["blocks"] = fill_holes()
        found["after"] = median()
    return found


def case(name: str, side: int, repeats: int) -> dict[str, float]:
    """Measure a program in the four cases, each in a process of its own but the third."""
    spawn = multiprocessing.get_context("spawn")

    def process(keep: bool, fill: bool, cache: str) -> dict[str, float]:
        with spawn.Pool(1) as pool:
            return pool.apply(milliseconds, (name, side, repeats, keep, fill, cache))

    with tempfile.TemporaryDirectory() as cache:
        compiled = process(True, True, cache)
        loaded = process(True, False, cache)
    with tempfile.TemporaryDirectory() as cache:
        returned = process(False, False, cache)
    return {
        "returned": returned["before"],
        "holes": compiled["before"],
        "filled": compiled["after"],
        "loaded": loaded["before"],
        "blocks": compiled["blocks"],
    }


def main(arguments: Arguments) -> None:
    """Measure, print and write the results."""
    if not keep_freed_memory(fill=False):
        raise SystemExit("this measures the GNU C library, which this machine does not use")
    lines = []
    for name, side in (("training step", arguments.crop), ("value and gradient", arguments.size)):
        rounds = [case(name, side, arguments.repeats) for _ in range(arguments.rounds)]
        lines.append(
            {
                "program": name,
                "side": side,
                **{key: float(np.median([r[key] for r in rounds])) for key in rounds[0]},
            }
        )
        lines[-1]["rounds"] = rounds
        print(json.dumps(lines[-1]), flush=True)
    arguments.out.write_text(json.dumps({"lines": lines, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
