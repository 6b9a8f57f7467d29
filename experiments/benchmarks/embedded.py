"""Speed of the embedded network: ``python -m experiments.benchmarks.embedded --weights W``.

Measures value and gradient of the default objective with small networks and with VGG-19 to conv3_4, in turns
in one run, with the fastest algorithm of every convolution and with XLA's own; reports medians. Writes
``experiments/benchmarks/embedded.json``. Runtime: about 2 minutes on 2 cores.
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
from nstjax.reports import environment
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.typing import Backbone


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    weights: str = "vgg19"
    """VGG-19: an installed name, a weights file, or a store's folder."""
    networks: tuple[str, ...] = ("embedded",)
    """What is set beside it, likewise."""
    size: int = 512
    """Side of the square image, in pixels."""
    repeats: int = 9
    """Of each measurement; the median counts."""


def evaluation(
    network: Backbone, content_layer: str | None, side: int, convolution: Method
) -> Callable[[], None]:
    """Return a compiled function without arguments that computes value and gradient of the default objective.

    Args:
        network: the feature network.
        content_layer: content layer to use instead of the default, or None.
        side: side of the square image in pixels.
        convolution: ``"auto"`` or ``"plain"``.
    """
    rng = np.random.default_rng(0)
    image, content, style = (jnp.asarray(rng.uniform(size=(1, side, side, 3)), jnp.float32) for _ in range(3))
    config = TransferConfig(size=side)
    if content_layer is not None:
        record = dataclasses.replace(config.objective, content_layers=(content_layer,))
        config = dataclasses.replace(config, objective=record)
    config = config.for_backbone(network)
    record, apply = (
        config.objective,
        FeatureExtractor(config.pooling, config.pooling_scale, config.padding, convolution),
    )
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
    """Measure how many times faster than VGG-19 to conv3_4 each network is."""
    runs = {"vgg19 to conv3_4": evaluation(teacher, "relu3_4", side, convolution)}
    runs |= {name: evaluation(network, None, side, convolution) for name, network in networks.items()}
    seconds = {name: float(np.median(times.wall)) for name, times in measure(runs, repeats).items()}
    base = seconds["vgg19 to conv3_4"]
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
