"""Smoke test and benchmarks of a new device in one command: ``python -m experiments.benchmarks.accelerator``.

Runs every command of nstjax on small inputs, and measures value and gradient, the iterations of a transfer, training,
one pass, and the memory of a large picture. PyTorch is measured beside value and gradient, and training, if it is
installed. A part that fails is recorded and does not stop the others; a part that would begin after ``--minutes`` is
left out. Writes ``accelerator.json`` after every part. ``--toy`` is a quick check of the script itself, for a CPU.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import nstjax
from experiments.benchmarks import ours, precision
from experiments.benchmarks.memory import peak_gib
from experiments.benchmarks.peer import has_pytorch
from experiments.benchmarks.timing import measure
from experiments.benchmarks.training import make_config, nstjax_programs
from nstjax import TransferConfig
from nstjax.arbitrary.apply import prepare_style, stylize_arbitrary
from nstjax.arbitrary.store import load_decoder
from nstjax.inference import stylize
from nstjax.optim import Lbfgs
from nstjax.paintings import paint
from nstjax.reports import environment

COMMANDS = (
    "info --json",
    "demo --size SIDE --iterations 2 --paintings knife -o demo",
    "transfer photo.png painting.png -o transfer.png --size SIDE --iterations 2",
    "transfer photo.png painting.png -o half.png --size SIDE --iterations 2 --precision bfloat16",
    "texture painting.png -o texture.png --size SIDE --iterations 2",
    "reconstruct photo.png -o reconstruct.png --size SIDE --iterations 2",
    "stylize photo.png --style painting.png -o any.png",
    "stylize photo.png --model gallery --style starry_night -o gallery.png",
    "train --style painting.png --data photos -o run --preset quick --steps 2 --crop 64 --sample-every 0",
    "train -o run --resume",
    "export --model run -o model.stablehlo",
    "weights list",
    "cache sizes",
)
"""Commands of the smoke test; SIDE is replaced by a number of pixels."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    sizes: tuple[int, ...] = (512, 1024)
    """Sides of the pictures in pixels, for all parts."""
    large: int = 2048
    """Side of the picture whose memory is measured, in pixels."""
    iterations: int = 100
    """Iterations of the transfer."""
    batches: tuple[int, ...] = (4, 16)
    """Photographs in a training step."""
    repeats: int = 10
    """Repeats of each measurement; the median counts."""
    minutes: float = 8.0
    """Time after which no further part begins."""
    python: str = sys.executable
    """An interpreter that may have PyTorch."""
    toy: bool = False
    """Small sizes and few repeats."""
    out: Path = Path(__file__).with_name("accelerator.json")
    """Where the numbers go."""


def toy(arguments: Arguments) -> Arguments:
    """Return the arguments with the sizes of a quick check."""
    return dataclasses.replace(
        arguments, sizes=(64,), large=96, iterations=2, batches=(1,), repeats=1, minutes=60.0
    )


def picture(side: int, seed: int = 0) -> np.ndarray:
    """Return a painting as a photograph, ``(1, side, side, 3)``."""
    return np.asarray(paint("waves", side, side, seed))


def smoke(arguments: Arguments) -> dict[str, Any]:
    """Run every command; return exit codes and seconds, and the last line of the errors."""
    found: dict[str, Any] = {}
    side = 32 if arguments.toy else 256
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "photos").mkdir()
        nstjax.save_image(Path(folder, "photo.png"), picture(2 * side))
        nstjax.save_image(Path(folder, "painting.png"), np.asarray(paint("swirls", 2 * side, 2 * side)))
        for number in range(4):
            nstjax.save_image(Path(folder, f"photos/{number}.png"), picture(96, number))
        for command in COMMANDS:
            began = time.perf_counter()
            ran = subprocess.run(
                [sys.executable, "-m", "nstjax", *command.replace("SIDE", str(side)).split()],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
            )
            entry = {"exit code": ran.returncode, "seconds": round(time.perf_counter() - began, 2)}
            found[command] = entry | (
                {"error": ran.stderr.strip().splitlines()[-1:]} if ran.returncode else {}
            )
    return found


def evaluations(arguments: Arguments) -> dict[str, Any]:
    """Measure value and gradient in all precisions and both layouts, beside PyTorch; see ``precision``."""
    with tempfile.TemporaryDirectory() as folder:
        own = precision.Arguments(
            sizes=arguments.sizes,
            rounds=1 if arguments.toy else 2,
            repeats=arguments.repeats,
            python=arguments.python,
            product=256 if arguments.toy else 0,
            out=Path(folder) / "precision.json",
        )
        precision.main(own)
        found: dict[str, Any] = json.loads(own.out.read_text())
    del found["environment"]
    return found


def transfers(arguments: Arguments) -> dict[str, Any]:
    """Measure the seconds of a transfer with the installed network, and the share that the display costs."""
    backbone, found = nstjax.load_backbone("auto"), {}
    for side in arguments.sizes:
        photo, painting = picture(side), np.asarray(paint("swirls", side, side))
        config = TransferConfig(size=side, scales=(side,), optimizer=Lbfgs(iterations=arguments.iterations))
        shown: list[float] = []
        made: list[Any] = []

        def run(
            callback: Any,
            photo: Any = photo,
            painting: Any = painting,
            config: Any = config,
            made: list[Any] = made,
        ) -> None:
            made[:] = [nstjax.transfer(photo, painting, backbone, config, callback=callback)]

        def note(progress: Any, shown: list[float] = shown) -> None:
            shown.append(progress.entry.loss)

        times = measure({"plain": lambda: run(None), "with progress": lambda: run(note)}, 1)
        seconds = {name: min(each.wall) for name, each in times.items()}
        history = made[0].history
        found[str(side)] = {
            "seconds": round(seconds["plain"], 3),
            "seconds with progress": round(seconds["with progress"], 3),
            "iterations": len(history),
            "loss at a tenth, a half and the end": [
                float(f"{history[int(share * (len(history) - 1))].loss:.5g}") for share in (0.1, 0.5, 1)
            ],
        }
    return {"network": backbone.arch, **found}


def training(arguments: Arguments) -> dict[str, Any]:
    """Measure the images per second of training steps with Johnson's network, beside PyTorch."""
    backbone, found = nstjax.load_backbone("embedded"), {}
    side = 64 if arguments.toy else 256
    for batch in arguments.batches:
        config = make_config(side, 1.0, "nearest", batch, "embedded")
        rng = np.random.default_rng(0)
        style, photos = (rng.uniform(size=(n, side, side, 3)).astype(np.float32) for n in (1, batch))
        programs = {"nstjax": nstjax_programs(config, backbone, style, photos)[0]["step"]}
        if has_pytorch(arguments.python) and not arguments.toy:
            from experiments.benchmarks.training import torch_programs

            programs["PyTorch"] = torch_programs(config, backbone, style, photos, True)[0]["step"]
        times = measure(programs, arguments.repeats)
        found[str(batch)] = {
            name: round(batch / statistics.median(each.wall), 2) for name, each in times.items()
        }
    return {"crop": side, "images per second by batch size": found}


def one_pass(arguments: Arguments) -> dict[str, Any]:
    """Measure the milliseconds of one picture in one pass."""
    decoder, embedded = load_decoder(), nstjax.load_backbone("embedded")
    generator = nstjax.load_generator("gallery")
    style = (prepare_style(embedded, np.asarray(paint("swirls", 512, 512)), 512),)
    found = {}
    for side in arguments.sizes:
        photo = picture(side)
        runs: dict[str, Callable[[], Any]] = {
            "gallery": lambda photo=photo: stylize(generator, photo, style="dots"),  # type: ignore[misc]
            "any style": lambda photo=photo: stylize_arbitrary(decoder, embedded, photo, style),  # type: ignore[misc]
        }
        times = measure(runs, arguments.repeats)
        found[str(side)] = {
            name: round(1000 * statistics.median(each.wall), 2) for name, each in times.items()
        }
    return {"milliseconds": found}


def memory(arguments: Arguments) -> dict[str, Any]:
    """Measure the peak memory of value and gradient of VGG-19 at a large size, in GiB."""
    ours.evaluation(ours.random_vgg19(), ours.FIVE, arguments.large, "auto")()
    statistics_of_device = jax.local_devices()[0].memory_stats() or {}
    peak = statistics_of_device.get("peak_bytes_in_use")
    return {
        "side": arguments.large,
        "device, GiB": None if peak is None else round(peak / 2**30, 2),
        "process, GiB": round(peak_gib(), 2),
    }


PARTS: dict[str, Callable[[Arguments], dict[str, Any]]] = {
    "smoke": smoke,
    "one pass": one_pass,
    "evaluations": evaluations,
    "training": training,
    "transfers": transfers,
    "memory": memory,  # last: the peak is that of the whole process
}


def main(arguments: Arguments) -> None:
    """Run all parts and write the results."""
    if arguments.toy:
        arguments = toy(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch gets memory of the same device
    began = time.perf_counter()
    results: dict[str, Any] = {"environment": environment(), "devices": [str(d) for d in jax.devices()]}
    for name, part in PARTS.items():
        if time.perf_counter() - began > 60 * arguments.minutes:
            results[name] = "left out: the time was over"
            continue
        started = time.perf_counter()
        try:
            results[name] = part(arguments)
        except Exception as error:  # whatever a new device does, the other parts are measured
            traceback.print_exc()
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
        results[f"seconds of {name}"] = round(time.perf_counter() - started, 1)
        print(name, json.dumps(results[name], indent=1), flush=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
