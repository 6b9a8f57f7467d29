"""VGG's convolutions on a CPU, by XLA and by Winograd: ``python -m experiments.benchmarks.convolution``.

Measures the milliseconds of each shape in turns and reports medians, both with freed memory kept by the
process and with it returned to the system (:mod:`nstjax.heap`). Writes
``experiments/benchmarks/convolution.json``. Run it on an otherwise idle machine.
"""

import dataclasses
import json
import multiprocessing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.benchmarks.timing import measure
from nstjax.heap import keep_freed_memory
from nstjax.nn.conv import conv3x3
from nstjax.nn.winograd import transformed, winograd
from nstjax.reports import environment


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    sizes: tuple[int, ...] = (512, 256)
    """Of a square picture; the blocks of VGG have it halved."""
    channels: tuple[tuple[int, int, int], ...] = (
        *((1, 16, 32), (1, 64, 64), (2, 64, 128), (2, 128, 128), (4, 128, 256), (4, 256, 256)),
        *((8, 256, 512), (8, 512, 512), (16, 512, 512)),
    )
    """How many times smaller than the picture, inputs, outputs."""
    repeats: int = 7
    """The median counts."""
    out: Path = Path(__file__).with_name("convolution.json")
    """Where the numbers go."""


def programs(size: int, c: int, d: int) -> dict[str, Callable[[], Any]]:
    """Return compiled convolutions of a random image with zero padding, by algorithm.

    Args:
        size: side of the square image in pixels.
        c: number of input channels.
        d: number of output channels.
    """
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((1, size, size, c), (3, 3, c, d)))
    bias = jnp.zeros(d)
    kernels = transformed(kernel)
    forms: dict[str, Callable[..., jax.Array]] = {
        "XLA": partial(conv3x3, method="plain"),
        "Winograd": lambda x, k, b: winograd(_around(x), transformed(k)) + b,
        "taken": conv3x3,
        "transformed once": lambda x, k, b: winograd(_around(x), kernels) + b,
    }
    return {name: partial(_run, jax.jit(form), x, kernel, bias) for name, form in forms.items()}


def _around(x: jax.Array) -> jax.Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _run(program: Callable[..., jax.Array], *arrays: jax.Array) -> None:
    program(*arrays).block_until_ready()


def table(arguments: Arguments, keep: bool) -> list[dict[str, Any]]:
    """Measure every shape and return a row for each; no rows if freed memory cannot be kept."""
    if keep and not keep_freed_memory():
        return []
    lines = []
    for size in arguments.sizes:
        for smaller, c, d in arguments.channels:
            side = size // smaller
            times = measure(programs(side, c, d), arguments.repeats)
            milliseconds = {name: round(1e3 * float(np.median(each.wall)), 2) for name, each in times.items()}
            lines.append({"memory kept": keep, "side": side, "inputs": c, "outputs": d, "ms": milliseconds})
            print(json.dumps(lines[-1]), flush=True)
    return lines


def main(arguments: Arguments) -> None:
    """Measure with and without freed memory kept, each in its own process, and write the results."""
    processes = multiprocessing.get_context("spawn")
    lines = []
    for keep in (True, False):
        with processes.Pool(1) as pool:
            lines += pool.apply(table, (arguments, keep))
    arguments.out.write_text(json.dumps({"lines": lines, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
