"""How long one pass takes: ``python -m experiments.benchmarks.stylize``.

Seconds of :func:`nstjax.stylize` at 1024×1024, the first time in a process whose programs were compiled before, and
after that; at 4096×4096 also the process's peak memory; and how much bands differ from the whole picture. Every
network is measured in a process of its own. Weights are random: time
does not depend on what they are. Writes ``experiments/benchmarks/stylize.json``. Wants a quiet machine.
"""

import dataclasses
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import nstjax
from experiments.benchmarks.memory import peak_gib
from experiments.programs import keep_programs
from nstjax.generators import GeneratorConfig, JohnsonConfig, UlyanovConfig, init_generator
from nstjax.generators.store import Generator
from nstjax.reports import environment

NETWORKS: dict[str, GeneratorConfig] = {
    "Johnson": JohnsonConfig(),
    "Johnson, half width": JohnsonConfig(width=0.5),
    "Ulyanov": UlyanovConfig(norm="instance"),
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What is measured."""

    side: int = 1024
    """Of the picture whose time is taken, in pixels."""
    large: int = 4096
    """Of the picture whose memory is taken, too; 0 for none."""
    repeats: int = 5
    """Of the smaller one; the median counts."""
    out: Path = Path(__file__).with_name("stylize.json")
    """Where the numbers go."""


def picture(side: int) -> np.ndarray:
    """Smooth colours, and edges."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    return np.stack([x, y, 0.5 + 0.5 * np.sign(np.sin(40 * x * y))], -1)[None]


def generator_of(name: str) -> Generator:
    """A network with random weights."""
    config = NETWORKS[name]
    return Generator(config, init_generator(config, jax.random.key(0)), {})


def seconds_of(name: str, arguments: Arguments) -> dict[str, Any]:
    """Of one network; bands of 256 rows against the whole in steps of 8 bits."""
    keep_programs()
    generator, photo = generator_of(name), picture(arguments.side)
    nstjax.stylize(generator, photo[:, :64, :64])  # the start of JAX
    seconds = []
    for _ in range(arguments.repeats + 1):
        began = time.perf_counter()
        nstjax.stylize(generator, photo)
        seconds.append(time.perf_counter() - began)
    whole, bands = (nstjax.stylize(generator, photo, tile=tile) for tile in (0, 256))
    return {
        "first": round(seconds[0], 2),
        "seconds": round(float(np.median(seconds[1:])), 2),
        "seam, of 255": round(float(255 * np.abs(whole - bands).max()), 4),
    }


def memory_of(name: str, arguments: Arguments) -> dict[str, Any]:
    """Of the large picture: seconds, and the process's peak in GiB."""
    keep_programs()
    generator, photo = generator_of(name), picture(arguments.large)
    began = time.perf_counter()
    nstjax.stylize(generator, photo)
    return {"seconds": round(time.perf_counter() - began, 1), "GiB": round(peak_gib(), 2)}


def main(arguments: Arguments) -> None:
    """Measure, print and write."""
    found: dict[str, dict[str, Any]] = {}
    processes = multiprocessing.get_context("spawn")
    for name in NETWORKS:
        found[name] = {}
        measures = [(arguments.side, seconds_of)] * 2  # the first compiles
        measures += [(arguments.large, memory_of)] if arguments.large else []
        for side, measure in measures:
            with processes.Pool(1) as pool:
                found[name][str(side)] = pool.apply(measure, (name, arguments))
        print(name, json.dumps(found[name]), flush=True)
    arguments.out.write_text(json.dumps({"networks": found, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
