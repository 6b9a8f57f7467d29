"""Time and memory of one stylization by a generator: ``python -m experiments.benchmarks.stylize``.

Measures, each in a process of its own:

- the seconds of :func:`nstjax.stylize` for the whole image, in bands, and by default, and of ONNX Runtime with the same
  generator (``nstjax export``), in turns; medians. Without the package onnxruntime its column is missing.
- how much the result in bands differs from that of the whole image.
- the seconds and the peak memory of a process that makes one large picture.
- the seconds of the command ``nstjax stylize``: with an empty cache, and the median of later starts. The picture is the
  time of the same picture in a process that has made one before. Their difference is the start: imports,
  loading, compiling.

The networks of the table have random weights, because the time does not depend on them. Writes
``experiments/benchmarks/stylize.json``, in which the results of other networks and of the command stay if they are not
measured. Run it on an otherwise idle machine.
"""

import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import nstjax
from experiments.benchmarks.memory import peak_gib
from experiments.programs import keep_programs
from nstjax.arbitrary.apply import stylize_arbitrary
from nstjax.arbitrary.store import load_decoder
from nstjax.generators import GeneratorConfig, JohnsonConfig, UlyanovConfig, draw_noise, init_generator
from nstjax.generators.store import Generator, load_generator
from nstjax.generators.styles import select_style
from nstjax.images import resize, save_image
from nstjax.inference.onnx import onnx_model
from nstjax.paintings import paint
from nstjax.reports import environment

SHIPPED = "gallery"
NETWORKS: dict[str, GeneratorConfig | None] = {
    SHIPPED: None,
    "Johnson": JohnsonConfig(),
    "Johnson, half width": JohnsonConfig(width=0.5),
    "Ulyanov": UlyanovConfig(norm="instance"),
}
COMMANDS = {SHIPPED: ("--model", SHIPPED, "--style", "1"), "any style": ("--style", "painting.png")}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    sides: tuple[int, ...] = (512, 1024)
    """Sides in pixels of the pictures that are timed."""
    large: int = 4096
    """Side in pixels of the picture whose memory is measured, too; 0 for none."""
    start: int = 512
    """Longer side in pixels of the picture of the command; 0 for no measurement of the command."""
    repeats: int = 7
    """Number of timed pictures; the median counts."""
    networks: tuple[str, ...] = tuple(NETWORKS)
    """Networks to measure; --networks alone measures only the command."""
    out: Path = Path(__file__).with_name("stylize.json")
    """File for the results."""


def picture(height: int, width: int) -> np.ndarray:
    """Return an image with smooth colors and with edges, ``(1, height, width, 3)``."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    return np.stack([x, y, 0.5 + 0.5 * np.sign(np.sin(40 * x * y))], -1)[None]


def generator_of(name: str) -> Generator:
    """Return the shipped generator, or one with random weights."""
    config = NETWORKS[name]
    if config is None:
        return select_style(load_generator(name), "1")
    return Generator(config, init_generator(config, jax.random.key(0)), {})


def onnx_runtime(generator: Generator, photo: np.ndarray) -> Callable[[], Any] | None:
    """Return a function that stylizes ``photo`` with ONNX Runtime; None if it is not installed."""
    try:
        import onnx  # noqa: F401 - onnx_model needs it
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(
        onnx_model(generator).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    noise = draw_noise(generator.config, jax.random.key(0)[None], *photo.shape[1:3])
    inputs = {"image": photo, **{f"noise{k}": np.asarray(z) for k, z in enumerate(noise)}}
    return lambda: session.run(None, inputs)


def seconds_of(name: str, side: int, repeats: int) -> dict[str, Any]:
    """Measure the seconds of a network, and the difference of bands from the whole image in 8-bit steps."""
    generator, photo = generator_of(name), picture(side, side)
    rows = 2**15 // side
    runs: dict[str, Callable[[], Any] | None] = {
        "whole": lambda: nstjax.stylize(generator, photo, tile=0),
        "bands": lambda: nstjax.stylize(generator, photo, tile=rows),
        "default": lambda: nstjax.stylize(generator, photo),
        "onnxruntime": onnx_runtime(generator, photo),
    }
    seconds: dict[str, list[float]] = {run: [] for run, call in runs.items() if call is not None}
    for _ in range(repeats + 1):
        for run, times in seconds.items():
            call = runs[run]
            assert call is not None
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    found: dict[str, Any] = {run: round(float(np.median(times[1:])), 3) for run, times in seconds.items()}
    if "onnxruntime" in found:
        found["default / onnxruntime"] = round(found["default"] / found["onnxruntime"], 2)
    whole, bands = (nstjax.stylize(generator, photo, tile=tile) for tile in (0, rows))
    found["seam, of 255"] = round(float(255 * np.abs(whole - bands).max()), 4)
    return found


def memory_of(name: str, side: int) -> dict[str, Any]:
    """Measure the seconds for a large image, and the peak memory of the process in GiB."""
    keep_programs()
    generator, photo = generator_of(name), picture(side, side)
    began = time.perf_counter()
    nstjax.stylize(generator, photo)
    return {"seconds": round(time.perf_counter() - began, 1), "GiB": round(peak_gib(), 2)}


def picture_seconds(name: str, folder: Path, side: int) -> float:
    """Return the seconds of one more picture in a process that has made one before."""
    photo = resize(nstjax.load_image(folder / "photo.png"), side * 3 // 4, side).clip(0, 1)
    if name == SHIPPED:
        generator = generator_of(name)

        def call() -> Any:
            return nstjax.stylize(generator, photo)
    else:
        decoder, backbone = load_decoder(), nstjax.load_backbone("embedded")
        style = nstjax.load_image(folder / "painting.png")

        def call() -> Any:
            return stylize_arbitrary(decoder, backbone, photo, style)

    call()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def start_of(name: str, folder: Path, side: int, repeats: int) -> dict[str, float]:
    """Measure the seconds of the command: the first time, and later."""
    words = ["stylize", "photo.png", *COMMANDS[name], "-o", "out.png", "--size", str(side), "--quiet"]
    env = {**os.environ, "NSTJAX_CACHE": str(folder / f"cache {name}")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has compiled modules
    subprocess.run(
        [sys.executable, "-m", "nstjax", "stylize", "--list"],
        check=True,
        capture_output=True,
        env=env,
    )
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "nstjax", *words], check=True, cwd=folder, env=env)
        seconds.append(time.perf_counter() - began)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        made = pool.apply(picture_seconds, (name, folder, side))
    first, later = seconds[0], float(np.median(seconds[1:]))
    return {
        "first": round(first, 2),
        "later": round(later, 2),
        "picture": round(made, 2),
        "first start": round(first - made, 2),
        "later start": round(later - made, 2),
    }


def main(arguments: Arguments) -> None:
    """Measure, print the results and write them to a file."""
    found: dict[str, dict[str, Any]] = {}
    processes = multiprocessing.get_context("spawn")
    for name in arguments.networks:
        found[name] = {}
        for side in arguments.sides:
            with processes.Pool(1) as pool:
                found[name][str(side)] = pool.apply(seconds_of, (name, side, arguments.repeats))
        if arguments.large:
            with processes.Pool(1) as pool:
                found[name][str(arguments.large)] = pool.apply(memory_of, (name, arguments.large))
        print(name, json.dumps(found[name]), flush=True)
    started: dict[str, Any] = {}
    if arguments.start:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            save_image(folder / "photo.png", picture(1200, 1600))
            save_image(folder / "painting.png", np.asarray(paint("waves", 640, 640)))
            for name in COMMANDS:
                started[name] = start_of(name, folder, arguments.start, arguments.repeats)
                print("the command,", name, json.dumps(started[name]), flush=True)
    before = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result = {
        "networks": before.get("networks", {}) | found,
        "command": before.get("command", {}) | started,
        "environments": before.get("environments", {}) | dict.fromkeys([*found, *started], environment()),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
