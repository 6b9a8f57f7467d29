"""Cost of spatial control and of the exact MMD: ``python -m experiments.benchmarks.controls --weights W``.

Measures value and gradient of the loss with four regions and without masks, in turns in one run, and reports
medians. Also measures, in another process, the peak memory of value and gradient of the exact Gaussian MMD of
two activation maps of 64×64×256. Writes ``experiments/benchmarks/controls.json``. Runtime: about 3 minutes on
2 cores.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.benchmarks.memory import peak_gib
from nstjax import Style, StyleRegion, TransferConfig
from nstjax.losses import Objective, make_targets, mmd2, objective
from nstjax.reports import environment
from nstjax.synthesis.loss import FeatureExtractor, layer_sizes
from nstjax.synthesis.styles import check_regions, regions_at

REGIONS = 4
ROWS, CHANNELS = 64, 256  # size of the activation maps for the MMD


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    weights: str = "vgg19"
    """An installed name, a weights file, or a store's folder."""
    size: int = 256
    """Side of the square image, in pixels."""
    repeats: int = 9
    """Of each measurement; the median counts."""


def masks(side: int) -> dict[str, list[np.ndarray]]:
    """Return two sets of four masks that cover an image: quarters, and soft, overlapping stripes."""
    y, x = np.mgrid[0:side, 0:side] / side
    quarters = [((y >= 0.5) == a) & ((x >= 0.5) == b) for a in (0, 1) for b in (0, 1)]
    stripes = [np.clip(1.5 - np.abs(x - (k + 0.5) / 4) * 8, 0, 1) for k in range(REGIONS)]
    return {
        "quarters": [m.astype(np.float32) for m in quarters],
        "soft stripes": [m.astype(np.float32) for m in stripes],
    }


def regions_cost(arguments: Arguments) -> dict[str, Any]:
    """Measure the seconds per evaluation without masks and with four regions, and their ratio."""
    backbone = nstjax.load_backbone(arguments.weights)
    side = arguments.size
    rng = np.random.default_rng(0)
    image, *paintings = (jnp.asarray(rng.uniform(size=(1, side, side, 3)), jnp.float32) for _ in range(5))
    found: dict[str, Any] = {}
    for carry in ("average", "inside"):
        config = TransferConfig(objective=Objective(), mask_carry=carry).for_backbone(backbone)
        record = config.objective
        apply = FeatureExtractor(config.pooling, config.pooling_scale, config.padding)
        content = apply(backbone, image, record.content_layers)
        sizes = layer_sizes(apply, backbone, (image.shape[1], image.shape[2]), record.style_layers)
        step = jax.jit(jax.value_and_grad(lambda f, x: f(x)[0], argnums=1))

        def prepared(
            style: Any,
            config: TransferConfig = config,
            apply: FeatureExtractor = apply,
            content: Any = content,
            sizes: Any = sizes,
            step: Any = step,
        ) -> Callable[[], None]:
            record = config.objective
            regions = regions_at(
                check_regions(style, (side, side)),
                (side, side),
                config,
                backbone.arch,
                lambda i: i,
                lambda i: apply(backbone, i, record.style_layers),
            )
            fun = objective(record, apply, backbone, make_targets(record, content, regions, sizes))
            return lambda: jax.block_until_ready(step(fun, image)) and None

        runs = {"unmasked": prepared(paintings[0])}
        for name, four in masks(side).items():
            runs[name] = prepared([StyleRegion((Style(p),), m) for p, m in zip(paintings, four, strict=True)])
        times: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run()  # compiles
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                began = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - began)
        medians = {name: float(np.median(values)) for name, values in times.items()}
        found[carry] = {
            "seconds": {name: round(value, 4) for name, value in medians.items()},
            "ratio": {n: round(v / medians["unmasked"], 3) for n, v in medians.items() if n != "unmasked"},
        }
    return found


def mmd_memory() -> dict[str, float]:
    """Measure the peak memory of the process, and the increase due to the MMD. To be run in a new process."""
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=(ROWS * ROWS, CHANNELS)), jnp.float32) for _ in range(2))
    jax.block_until_ready(jnp.tanh(x) @ y.T[:, :8])
    before = peak_gib()
    step = jax.jit(jax.value_and_grad(lambda a: mmd2(a, y, "gaussian")))
    jax.block_until_ready(step(x))
    began = time.perf_counter()
    jax.block_until_ready(step(x))
    seconds = time.perf_counter() - began
    after = peak_gib()
    return {
        "peak_GiB": round(after, 3),
        "of_the_MMD_GiB": round(after - before, 3),
        "seconds": round(seconds, 3),
    }


def main() -> None:
    """Measure, print the results and write them to a file."""
    if sys.argv[1:] == ["mmd-memory"]:
        print(json.dumps(mmd_memory()))
        return
    arguments = tyro.cli(Arguments, description=__doc__)
    command = [sys.executable, "-m", "experiments.benchmarks.controls", "mmd-memory"]
    memory = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    backbone = nstjax.load_backbone(arguments.weights)
    results = {
        "size": arguments.size,
        "weights": f"{backbone.arch}, {backbone.source}",
        "four_regions": regions_cost(arguments),
        "gaussian_mmd_64x64x256": json.loads(memory.stdout.splitlines()[-1]),
        "environment": environment(),
        "cores": os.cpu_count(),
    }
    text = json.dumps(results, indent=1)
    Path(__file__).with_name("controls.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
