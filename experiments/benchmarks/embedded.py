"""Speed of the embedded network relative to VGG-19: ``python -m experiments.benchmarks.embedded --weights W``.

Measures value and gradient of the default objective (five style layers to relu5_1, content at relu4_2) with small
networks and with VGG-19, in turns in one run, and takes medians. Kernels are transformed beforehand, as in a transfer.
Both networks use the project's own convolutions ("auto"), then XLA's ("plain"). Writes
``experiments/benchmarks/embedded.json``. Runtime: about 3 minutes on 2 cores.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.benchmarks.timing import measure
from nstjax import TransferConfig
from nstjax.heap import keep_freed_memory
from nstjax.losses import make_targets, objective
from nstjax.nn.conv import Method
from nstjax.nn.prepare import prepared
from nstjax.reports import environment
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.typing import Backbone


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    weights: str = "vgg19"
    """VGG-19: an installed name, a weights file, or a store's folder."""
    networks: tuple[str, ...] = ("embedded",)
    """The networks to compare with it: names, files or folders."""
    size: int = 512
    """Side of the square image, in pixels."""
    repeats: int = 9
    """Of each measurement; the median counts."""


def evaluation(network: Backbone, side: int, convolution: Method) -> Callable[[], None]:
    """Return a compiled function without arguments that computes value and gradient of the default objective.

    Args:
        network: the feature network.
        side: side of the square image in pixels.
        convolution: ``"auto"`` or ``"plain"``.
    """
    rng = np.random.default_rng(0)
    image, content, style = (jnp.asarray(rng.uniform(size=(1, side, side, 3)), jnp.float32) for _ in range(3))
    config = TransferConfig(size=side).for_backbone(network)
    record = config.objective
    if convolution == "auto":
        network = prepared(network, record.layers)
    apply = FeatureExtractor(config.pooling, config.pooling_scale, config.padding, convolution)
    targets = make_targets(
        record, apply(network, content, record.content_layers), apply(network, style, record.style_layers)
    )
    fun = objective(record, apply, network, targets)
    step = jax.jit(jax.value_and_grad(lambda f, x: f(x)[0], argnums=1))
    jax.block_until_ready(step(fun, image))
    return lambda: jax.block_until_ready(step(fun, image)) and None


def speeds(
    teacher: Backbone, networks: dict[str, Backbone], side: int, repeats: int, convolution: Method = "auto"
) -> dict[str, Any]:
    """Measure how many times faster than VGG-19 each network is."""
    runs = {"vgg19": evaluation(teacher, side, convolution)}
    runs |= {name: evaluation(network, side, convolution) for name, network in networks.items()}
    seconds = {name: float(np.median(times.wall)) for name, times in measure(runs, repeats).items()}
    base = seconds["vgg19"]
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "times_faster": {name: round(base / value, 2) for name, value in seconds.items()},
    }


def main(arguments: Arguments) -> None:
    """Measure, print the results and write them to a file."""
    keep_freed_memory()  # as the command line does
    networks = {name: nstjax.load_backbone(name) for name in arguments.networks}
    teacher = nstjax.load_backbone(arguments.weights)
    found: dict[str, Any] = {
        convolution: speeds(teacher, networks, arguments.size, arguments.repeats, convolution)
        for convolution in ("auto", "plain")
    }
    found |= {"size": arguments.size, "environment": environment()}
    print(json.dumps(found, indent=1))
    Path(__file__).with_name("embedded.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
