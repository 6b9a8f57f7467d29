"""nstjax compared with PyTorch, in one run: ``python -m experiments.benchmarks --weights W --images DIR``.

Measures value and gradient by size, the time to a given loss, and the start of the command. If PyTorch is
installed, its programs (``torch_evaluation.py``, ``torch_lbfgs.py``) are measured in turns with nstjax. Writes
results.json and, together with the result files of the other benchmarks, the table in ``docs/benchmarks.md``.
Runtime: about 15 minutes on 2 cores of an otherwise idle machine; ``--long`` adds half an hour.
"""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.benchmarks import ours
from experiments.benchmarks.curves import Curves, write_curves
from experiments.benchmarks.peer import has_pytorch, lines_of
from experiments.benchmarks.table import write_table
from experiments.benchmarks.timing import Neighbours, measure
from nstjax import save_image
from nstjax.heap import keep_freed_memory
from nstjax.nn.vgg import kernel_shape
from nstjax.paintings import paint
from nstjax.reports import environment

FOLDER = Path(__file__).parent
ITERATIONS = 60


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    weights: str = "vgg19"
    """Real weights to relu3_2: an installed name, a weights file, or a store's folder."""
    images: Path = Path("images")
    """content/golden_gate.jpg and style/starry_night.jpg are used."""
    python: str = sys.executable
    """An interpreter that has PyTorch."""
    sizes: tuple[int, ...] = (128, 256, 333, 512, 1024)
    """Of value and gradient, in pixels."""
    rounds: int = 3
    """In turns."""
    repeats: int = 5
    """In a round."""
    long: bool = False
    """Also 500×500 pixels, VGG-19 to conv5_1: 300 plain iterations, and the time to their loss."""
    out: Path = FOLDER / "results.json"
    """Where the numbers go."""


def peaks() -> dict[str, float]:
    """Measure the peak rates of this machine.

    Returns:
        GFLOP/s of a product of matrices, and GB/s read and written by a large copy.
    """
    a, b = jnp.ones((2048, 2048)), jnp.ones(2**26)
    product, copy = jax.jit(lambda a: a @ a), jax.jit(lambda b: b + 1)
    times = measure(
        {
            "product": lambda: product(a).block_until_ready(),
            "copy": lambda: copy(b).block_until_ready(),
        },
        7,
    )
    seconds = {name: float(np.median(each.wall)) for name, each in times.items()}
    return {
        "GFLOP/s": round(2 * 2048**3 / seconds["product"] / 1e9, 1),
        "GB/s": round(2 * b.nbytes / seconds["copy"] / 1e9, 1),
    }


def cpu_model() -> str:
    """Return the name of the CPU as the operating system gives it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def least_seconds(side: int, machine: dict[str, float]) -> dict[str, float]:
    """Return lower limits of the time for value and gradient of the five-layer objective, in seconds.

    Args:
        side: side of the square image in pixels.
        machine: from :func:`peaks`.

    Returns:
        The time of the convolutions at the peak rate of matrix products, and the time to write and read all
        activations once, in the forward and in the backward pass.
    """
    written = 0.0
    for name in ours.random_vgg19_names():
        written += 2 * 2 * 4 * kernel_shape(name)[3] * (side // 2 ** (int(name[4]) - 1)) ** 2
    return {
        "products": round(ours.products(side) / machine["GFLOP/s"] / 1e9, 3),
        "bytes": round(written / machine["GB/s"] / 1e9, 3),
    }


def evaluations(arguments: Arguments, pytorch: bool, machine: dict[str, float]) -> list[dict[str, Any]]:
    """Measure value and gradient by size."""
    network, found = ours.random_vgg19(), []
    for side in arguments.sizes:
        runs = {
            "nstjax": ours.evaluation(network, ours.FIVE, side, "auto"),
            "nstjax, plain": ours.evaluation(network, ours.FIVE, side, "plain"),
        }
        times: dict[str, list[float]] = {name: [] for name in (*runs, "PyTorch")}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                times[name] += measure({name: run}, arguments.repeats)[name].wall
            if pytorch:
                command = [arguments.python, "-m", "experiments.benchmarks.torch_evaluation", "--no-compile"]
                command += ["--no-channels-last", "--size", str(side), "--repeats", str(arguments.repeats)]
                times["PyTorch"] += [float(np.median(line["seconds"])) for line in lines_of(command)]
        medians = {name: round(float(np.median(all_)), 4) for name, all_ in times.items() if all_}
        found.append({"size": side, "seconds": medians, "least": least_seconds(side, machine)})
        print(json.dumps(found[-1]), flush=True)
    return found


def solve(arguments: Arguments, pytorch: bool) -> dict[str, Any]:
    """Measure the time until the three-block objective at 256 pixels reaches PyTorch's loss.

    PyTorch's loss is that after 60 iterations. The times are for compiling, for loading compiled programs,
    and for a second run in the same process.
    """
    if not pytorch:
        return {}
    pictures = [
        str(arguments.images / "content" / "golden_gate.jpg"),
        str(arguments.images / "style" / "starry_night.jpg"),
    ]
    mine = [sys.executable, "-m", "experiments.benchmarks.ours", "solve", "--weights", arguments.weights]
    mine += ["--content", pictures[0], "--style", pictures[1], "--iterations", str(ITERATIONS)]
    theirs = [arguments.python, "-m", "experiments.benchmarks.torch_lbfgs", "--iterations", str(ITERATIONS)]
    reached: dict[str, list[float]] = {"compiling": [], "cached": [], "compiled": [], "PyTorch": []}
    goal, needed = 0.0, 0
    curves: Curves = {}
    with tempfile.TemporaryDirectory() as cache:
        inputs = Path(cache) / "inputs.npz"
        photo, painting = map(Path, pictures)
        ours.save_inputs(inputs, nstjax.load_backbone(arguments.weights), photo, painting)
        for round_ in range(arguments.rounds):
            *steps, end = lines_of([*theirs, "--inputs", str(inputs)])
            goal = end["final_loss"]
            # A line has the loss before its step, which is the loss after the step of the previous line.
            losses = [step["loss_before"] for step in steps[1:]] + [goal]
            at = [[step["seconds"], loss] for step, loss in zip(steps, losses, strict=True)]
            curves = {"PyTorch": at}
            reached["PyTorch"].append(end["seconds"])
            lines = [line for line in lines_of(mine, NSTJAX_CACHE=cache) if "loss" in line]
            for which, kind in ((0, "cached" if round_ else "compiling"), (1, "compiled")):
                hit = [line for line in lines if line["round"] == which and line["loss"] <= goal]
                reached[kind].append(hit[0]["seconds"] if hit else float("inf"))
                needed = hit[0]["iteration"] if hit else 0
                at = [[round(line["seconds"], 3), line["loss"]] for line in lines if line["round"] == which]
                curves[f"nstjax, {kind.replace('cached', 'compiled programs loaded')}"] = at
    medians = {name: round(float(np.median(all_)), 2) for name, all_ in reached.items() if all_}
    found = {"goal": goal, "iterations": {"nstjax": needed, "PyTorch": ITERATIONS}, "seconds": medians}
    print(json.dumps(found), flush=True)
    write_curves(goal, curves)  # curves of the last round
    return found


def starts(rounds: int) -> dict[str, Any]:
    """Measure the seconds from the start of the command to its first iteration.

    The command runs a transfer at 256 pixels with the embedded network, with an empty cache and with a filled
    one.
    """
    found: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for which, kind in (("photo.png", "glass"), ("painting.png", "swirls")):
                save_image(folder / which, np.asarray(paint(kind, 512, 512)))
            command = [sys.executable, "-c", "import sys; from nstjax.cli.main import main; sys.exit(main())"]
            command += ["transfer", *(str(folder / f"{kind}.png") for kind in ("photo", "painting"))]
            command += ["-o", str(folder / "out.png"), "--size", "256", "-w", "embedded"]
            for state in ("cold", "warm"):
                found[state].append(_first_iteration(command, folder / "cache"))
    medians = {name: round(float(np.median(all_)), 2) for name, all_ in found.items()}
    print(json.dumps(medians), flush=True)
    return medians


def _first_iteration(command: list[str], cache: Path) -> float:
    """Run a command until it prints its first iteration, and return the seconds."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        env={**os.environ, "NSTJAX_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        seen = b""
        while b"iteration 1/" not in seen and (new := process.stdout.read(64)):
            seen += new
        seconds = time.perf_counter() - began
        process.kill()
    if b"iteration 1/" not in seen:
        raise RuntimeError(f"no iteration in: {seen[-300:]!r}")
    return seconds


def long_run(arguments: Arguments) -> dict[str, Any]:
    """Measure a 500×500 transfer to conv5_1.

    The loss is that after 300 iterations at one scale. A pyramid of three scales then runs to the same loss.
    """
    content, style = (
        ours.scaled(arguments.images / kind / name, 500)
        for kind, name in (("content", "golden_gate.jpg"), ("style", "starry_night.jpg"))
    )
    plain = ours.gatys_500(content, style, arguments.weights, (500,), (300,))
    goal = plain[-1].loss
    pyramid = ours.gatys_500(content, style, arguments.weights, (125, 250, 500), (150, 100, 200), goal)
    found = {
        "plain": {"loss": goal, "seconds": round(plain[-1].seconds, 1), "iterations": len(plain)},
        "pyramid": {
            "loss": pyramid[-1].loss,
            "seconds": round(pyramid[-1].seconds, 1),
            "iterations": len(pyramid),
        },
    }
    print(json.dumps(found), flush=True)
    return found


def main(arguments: Arguments) -> None:
    """Measure, print the results, and write them and the table to files."""
    keep_freed_memory()
    pytorch, neighbours = has_pytorch(arguments.python), Neighbours()
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    results["machine"] = machine = peaks()
    print(json.dumps(machine), flush=True)
    parts: dict[str, Callable[[], Any]] = {
        "start": lambda: starts(arguments.rounds),
        "solve": lambda: solve(arguments, pytorch),
        "evaluations": lambda: evaluations(arguments, pytorch, machine),
    }
    if arguments.long:
        parts["long"] = lambda: long_run(arguments)
    for name, part in parts.items():  # written after each part, so that an interruption loses only one
        results[name] = part()
        results |= {
            "cpu": f"{cpu_model()}, {os.cpu_count()} cores",
            "others_share_of_the_machine": neighbours.share(),
            "environment": environment(),
        }
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    write_table(arguments.out)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
