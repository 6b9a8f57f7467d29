"""``python -m tests.fuzz.kills --count 30``: commands that are stopped at random moments end in the same result.

A command runs once without a stop. Then it is started again and again in another folder, each time stopped after a random
time, the last time not at all. What is there after a stop must be whole, and the end result equal to the bit.
"""

import argparse
import dataclasses
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.paths import ROOT

LONGEST = 1200.0  # seconds for one process, on a busy machine
STOPS = 3  # at most, of one run
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _pixels(path: Path) -> str:
    """Of a picture, or of all frames of an animation."""
    with Image.open(path) as image:
        frames = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(image.convert("RGB").tobytes())
    return _digest(*frames)


def _arrays(tree: Any) -> str:
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return _digest(*(str(path).encode() + np.asarray(leaf).tobytes() for path, leaf in leaves))


def _pictures(folder: Path) -> dict[str, str]:
    return {p.name: _pixels(p) for p in sorted(folder.glob("*")) if p.suffix in (".png", ".gif")}


def _trained(folder: Path) -> dict[str, str]:
    from nstjax.generators.store import load_generator
    from nstjax.training.metrics import read_metrics

    if not (folder / "run" / "model").exists():
        return {}
    lines = [{k: v for k, v in line.items() if "second" not in k} for line in read_metrics(folder / "run")]
    return {
        "model": _arrays(load_generator(folder / "run").variables),
        "metrics": repr(lines),
        **_pictures(folder / "run" / "samples"),
    }


def _converted(folder: Path) -> dict[str, str]:
    from nstjax.weights.store import read_store

    store = folder / "stores" / "mine"
    return {"store": _arrays(read_store(store).params)} if store.exists() else {}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A command that may be stopped.

    Attributes:
        arguments: of ``nstjax``, run in its folder.
        results: what has been made so far, by name; raises where something is not whole.
        again: further arguments when it is started again.
    """

    arguments: tuple[str, ...]
    results: Callable[[Path], dict[str, str]]
    again: tuple[str, ...] = ("--resume",)


_SMALL = (
    "-w",
    "embedded",
    "--scales",
    "32",
    "64",
    "--style-layers",
    "relu1_1",
    "relu2_1",
    "-q",
    "--init",
    "noise",
)
_TRANSFER = (
    "transfer",
    "photos/a.png",
    "painting.png",
    "-o",
    "out/picture.png",
    *_SMALL,
    "--save-state-every",
    "10",
)
_GIF = ("--gif", "out/run.gif", "--plot", "out/plot.svg", "--snapshot-every", "20")
SCENARIOS = {
    "transfer": Scenario((*_TRANSFER, "--iterations", "150"), lambda f: _pictures(f / "out")),
    "transfer with a GIF": Scenario(
        (*_TRANSFER, *_GIF, "--iterations", "150"), lambda f: _pictures(f / "out")
    ),
    "transfer by Adam": Scenario(
        (*_TRANSFER, *_GIF, "--optimizer", "adam", "--iterations", "150"), lambda f: _pictures(f / "out")
    ),
    "train": Scenario(
        (
            *("train", "--style", "painting.png", "--data", "photos", "-o", "run", "-w", "embedded", "-q"),
            *("--generator", "johnson", "--width", "0.0625", "--residual-blocks", "1", "--crop", "32"),
            *("--batch-size", "2", "--steps", "60", "--log-every", "3", "--checkpoint-every", "7"),
            *("--sample-every", "20", "--workers", "0"),
        ),
        _trained,
    ),
    "stylize": Scenario(
        ("stylize", "photos", "--model", "gallery", "--style", "starry_night", "-o", "done", "-q"),
        lambda f: _pictures(f / "done"),
        (),
    ),
    "weights convert": Scenario(
        ("weights", "convert", "vgg.npz", "--name", "mine", "--to", "stores"), _converted, ()
    ),
}


def prepare(folder: Path) -> None:
    """The inputs of all scenarios."""
    from tests.helpers.networks import random_params

    for name in ("photos", "out"):
        (folder / name).mkdir()
    y, x = np.mgrid[0:96, 0:128]
    for k, name in enumerate("abcdef"):
        pixels = np.stack([2 * y, 255 - x, (x * (k + 1) + y) % 256], -1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / f"{name}.png")
    stripes = np.stack([128 + 120 * np.sin(x / 3), 128 + 120 * np.sin((x + y) / 5), 255 - y], -1)
    Image.fromarray(stripes.astype(np.uint8)).save(folder / "painting.png")
    params = random_params("vgg19", 10)
    arrays = {f"{conv}/{kind}": a for conv, layer in params.items() for kind, a in layer.items()}
    np.savez(folder / "vgg.npz", **arrays)  # type: ignore[arg-type]


def _start(scenario: Scenario, folder: Path, cache: Path, again: bool) -> subprocess.Popen[str]:
    arguments = (*scenario.arguments, *(scenario.again if again else ()))
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "nstjax", *arguments],
        cwd=folder,
        env={**os.environ, "NSTJAX_CACHE": str(cache), "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


class Broken(AssertionError):
    """A stop changed a result, left something half-written, or was answered with a traceback."""


def _end(process: subprocess.Popen[str]) -> str:
    """Wait for a process; return what it wrote on standard error."""
    try:
        return process.communicate(timeout=LONGEST)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Broken(f"it has not ended after {LONGEST} s") from None


@dataclasses.dataclass
class Reference:
    """A run without a stop: its results and its seconds."""

    results: dict[str, str]
    seconds: float


def reference(scenario: Scenario, folder: Path, cache: Path) -> Reference:
    """Run a command twice, the second time with compiled programs in the cache."""
    found: list[Reference] = []
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True)
        prepare(folder / name)
        began = time.monotonic()
        process = _start(scenario, folder / name, cache, again=False)
        said = _end(process)
        if process.returncode != 0:
            raise Broken(f"exit code {process.returncode}: {said}")
        found.append(Reference(scenario.results(folder / name), time.monotonic() - began))
    if not found[0].results or found[0].results != found[1].results:
        raise Broken(f"two runs without a stop differ: {found[0].results}, {found[1].results}")
    return found[1]


def stopped(
    scenario: Scenario, wanted: Reference, folder: Path, cache: Path, rng: random.Random, how: signal.Signals
) -> int:
    """Stop a run up to three times at random moments, then let it end.

    Returns:
        How often it was stopped.

    Raises:
        Broken: see there.
    """
    folder.mkdir(parents=True)
    prepare(folder)
    stops = 0
    for attempt in range(STOPS + 1):
        process = _start(scenario, folder, cache, again=attempt > 0)
        if attempt < STOPS:
            try:
                process.wait(timeout=rng.uniform(0.0, 1.1 * wanted.seconds))
            except subprocess.TimeoutExpired:
                process.send_signal(how)
                stops += 1
        said = _end(process)
        if "Traceback" in said:
            raise Broken(f"a traceback: {said}")
        done = scenario.results(folder)  # raises where a file is not whole
        if process.returncode == 0:
            break
        if how == signal.SIGKILL:
            odd = {
                name
                for name, value in done.items()
                if name in wanted.results and value != wanted.results[name]
            }
            if odd and scenario.again:  # a training's model is replaced as it goes on
                odd -= {"model", "metrics"}
            if odd:
                raise Broken(f"after a kill {sorted(odd)} differ: {said}")
        if attempt == STOPS:
            raise Broken(f"exit code {process.returncode}: {said}")
    if done != wanted.results:
        names = sorted(set(done) | set(wanted.results))
        different = [name for name in names if done.get(name) != wanted.results.get(name)]
        raise Broken(f"after {stops} stops, {different} differ from a run without a stop")
    left = [p.name for p in folder.rglob("*") if p.name.endswith((".new", ".tmp", ".part", ".state"))]
    if left:
        raise Broken(f"left behind: {left}")
    return stops


def main() -> int:
    """Run the scenarios and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument(
        "--count", type=int, default=30, help="stopped runs in all, over scenarios and signals"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="scenarios whose name has this text")
    options = parser.parse_args()
    chosen = {name: scenario for name, scenario in SCENARIOS.items() if options.only in name}
    rng, failed, stops = random.Random(options.seed), 0, 0
    place = Path(tempfile.mkdtemp(prefix="nstjax-kills-"))
    wanted = {name: reference(scenario, place / name, place / "cache") for name, scenario in chosen.items()}
    for name, one in wanted.items():
        print(f"{name}: {one.seconds:.1f} s without a stop", flush=True)
    for index in range(options.count):
        name = list(chosen)[index % len(chosen)]
        how = list(SIGNALS)[index // len(chosen) % len(SIGNALS)]
        folder = place / name / str(index)
        try:
            found = stopped(chosen[name], wanted[name], folder, place / "cache", rng, SIGNALS[how])
            print(f"{index} {name}, {how}: {found} stops, equal", flush=True)
            stops += found
            shutil.rmtree(folder)
        except Broken as error:
            failed += 1
            print(f"{index} {name}, {how}: BROKEN in {folder}: {error}", flush=True)
    print(f"{options.count} runs, {stops} stops, {failed} broken")
    if not failed:
        shutil.rmtree(place)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
