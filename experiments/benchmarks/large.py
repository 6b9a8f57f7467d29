"""A picture that does not fit in memory, by tiles: ``python -m experiments.benchmarks.large``.

One iteration of L-BFGS (two evaluations or three) of a square picture in a process of its own, its peak memory and the
time of the whole process; and how far the gradient by tiles is from that in one piece, at a size where both fit. The
photograph ships with scikit-image, the painting is made by nstjax. Writes ``experiments/benchmarks/large.json``.
Runtime: about 10 minutes on 2 cores.
"""

import dataclasses
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from skimage import data

import nstjax
from experiments.benchmarks.memory import peak_gib
from nstjax import TransferConfig
from nstjax.images import resize
from nstjax.losses import Objective, make_targets
from nstjax.optim import Lbfgs
from nstjax.paintings import paint
from nstjax.reports import environment
from nstjax.synthesis.loss import LossNetwork

HISTORY = 3  # pairs of L-BFGS, each as large as two pictures
BLOCKS = Objective(("relu3_2",), ("relu1_1", "relu2_1", "relu3_1"))


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What is measured."""

    networks: tuple[str, ...] = ("embedded",)
    """Installed names, weights files, or stores' folders; of VGG-19 blocks 1 to 3 are used."""
    size: int = 4096
    """Side of the picture, in pixels."""
    tile: int = 512
    """Side of the tiles."""
    compared: int = 1024
    """Side at which the gradient is compared with that in one piece; 0 to leave it out."""
    out: Path = Path(__file__).with_name("large.json")
    """Where the numbers go."""


def pictures(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph of that size, and a painting of 1024 pixels at most."""
    photograph = data.astronaut().astype(np.float32)[None] / 255
    return np.asarray(resize(photograph, size, size)).clip(0, 1), np.asarray(paint("swirls", 1024, 1024))


def config(size: int, tile: int) -> TransferConfig:
    """One iteration at one scale."""
    optimizer = Lbfgs(iterations=1, history_size=HISTORY)
    return TransferConfig(objective=BLOCKS, optimizer=optimizer, size=size, scales=(size,), tile=tile)


def step(weights: str, size: int, tile: int) -> dict[str, Any]:
    """One iteration, and what this process has needed for it at the most."""
    content, style = pictures(size)
    began = time.perf_counter()
    result = nstjax.transfer(content, style, nstjax.load_backbone(weights), config(size, tile))
    return {
        "evaluations": result.history[-1].evaluations,
        "loss": result.history[-1].loss,
        "seconds": round(time.perf_counter() - began, 1),
        "peak_GiB": round(peak_gib(), 2),
    }


def difference(weights: str, size: int, tile: int) -> dict[str, float]:
    """Of loss and gradient by tiles from those in one piece, relative, at a picture that is no photograph."""
    content, style = (jnp.asarray(image) for image in pictures(size))
    x = content + 0.1 * jax.random.normal(jax.random.key(0), content.shape)
    backbone = nstjax.load_backbone(weights)
    networks = [LossNetwork(config(size, sides), backbone) for sides in (0, tile)]
    found = networks[0].features(content, BLOCKS.content_layers)
    targets = make_targets(BLOCKS, found, networks[0].features(style, BLOCKS.style_layers))
    run = jax.jit(lambda fun, x: jax.value_and_grad(fun, has_aux=True)(x))
    whole, tiles = (run(network.loss(targets, (size, size)), x) for network in networks)
    return {
        "loss": abs(float(tiles[0][0] / whole[0][0]) - 1),
        "gradient": float(jnp.linalg.norm(tiles[1] - whole[1]) / jnp.linalg.norm(whole[1])),
    }


def main(arguments: Arguments) -> None:
    """Measure, print and write."""
    processes = multiprocessing.get_context("spawn")
    lines: list[dict[str, Any]] = []
    for weights in arguments.networks:
        line: dict[str, Any] = {"network": Path(weights).stem, "size": arguments.size, "tile": arguments.tile}
        with processes.Pool(1) as pool:
            line |= pool.apply(step, (weights, arguments.size, arguments.tile))
        if arguments.compared:
            with processes.Pool(1) as pool:
                found = pool.apply(difference, (weights, arguments.compared, arguments.tile // 2))
            line["difference"] = {"size": arguments.compared, "tile": arguments.tile // 2, **found}
        lines.append(line)
        print(json.dumps(line), flush=True)
    arguments.out.write_text(json.dumps({"lines": lines, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
