"""Time and memory of one stylization by a generator: ``python -m experiments.benchmarks.stylize``.

Measures the seconds of :func:`nstjax.stylize` at 1024×1024, for the first call in a process (with programs
compiled before, in another process) and for later calls; at 4096×4096, the seconds and the peak memory of the
process; and how much the result in bands differs from that of the whole image. Every measurement has its own
process. The weights are random, because the time does not depend on them. Writes
``experiments/benchmarks/stylize.json``. Run it on an otherwise idle machine.
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
    """Command-line arguments."""

    side: int = 1024
    """Of the picture whose time is taken, in pixels."""
    large: int = 4096
    """Of the picture whose memory is taken, too; 0 for none."""
    repeats: int = 5
    """Of the smaller one; the median counts."""
    out: Path = Path(__file__).with_name("stylize.json")
    """Where the numbers go."""


def picture(side: int) -> np.ndarray:
    """Return an image with smooth colors and with edges, ``(1, side, side, 3)``."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    return np.stack([x, y, 0.5 + 0.5 * np.sign(np.sin(40 * x * y))], -1)[None]


def generator_of(name: str) -> Generator:
    """Return a generator with random weights."""
    config = NETWORKS[name]
    return Generator(config, init_generator(config, jax.random.key(0)), {})


def seconds_of(name: str, arguments: Arguments) -> dict[str, Any]:
    """Measure the seconds of a network, and the difference of bands from the whole image in 8-bit steps."""
    keep_programs()
    generator, photo = generator_of(name), picture(arguments.side)
    nstjax.stylize(generator, photo[:, :64, :64])  # initializes JAX
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
    """Measure the seconds for the large image, and the peak memory of the process in GiB."""
    keep_programs()
    generator, photo = generator_of(name), picture(arguments.large)
    began = time.perf_counter()
    nstjax.stylize(generator, photo)
    return {"seconds": round(time.perf_counter() - began, 1), "GiB": round(peak_gib(), 2)}


def main(arguments: Arguments) -> None:
    """Measure, print the results and write them to a file."""
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
