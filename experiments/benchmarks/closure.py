"""A user's function compared with the built-in objective: ``python -m experiments.benchmarks.closure``.

Both are the same loss over :func:`nstjax.features`, minimized by :func:`nstjax.optim.minimize`: the built-in
objective, and a plain function that captures the network and the targets. Prints the seconds until the first
iteration ends (tracing, compilation, two evaluations) and the seconds per later iteration, measured in turns,
and their ratios. The weights are random. Run it on an otherwise idle machine.
"""

import dataclasses
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.benchmarks.ours import THREE, random_vgg19
from nstjax.losses import make_targets, objective
from nstjax.optim import Lbfgs, ObjectiveFn, minimize


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    side: int = 256
    """Of the square image, in pixels."""
    iterations: int = 10
    """In a round."""
    rounds: int = 3
    """Of each, in turns; the median counts."""


def objectives(side: int) -> tuple[ObjectiveFn, ObjectiveFn, jax.Array]:
    """Return the built-in objective, the same loss as a plain function, and an initial image."""
    network, rng = random_vgg19("conv3_2"), np.random.default_rng(0)
    x, content, style = (jnp.asarray(rng.uniform(size=(1, side, side, 3)), jnp.float32) for _ in range(3))
    apply = nstjax.features
    targets = make_targets(
        THREE, apply(network, content, THREE.content_layers), apply(network, style, THREE.style_layers)
    )

    def plain(image: jax.Array) -> Any:
        return objective(THREE, apply, network, targets)(image)

    return objective(THREE, apply, network, targets), plain, x


def seconds_of(fun: ObjectiveFn, x0: jax.Array, iterations: int) -> tuple[float, float]:
    """Return the seconds until the first iteration ends, and the median seconds of each later iteration."""
    marks = [time.perf_counter()]
    minimize(fun, x0, Lbfgs(iterations), lambda step: marks.append(time.perf_counter()))
    return marks[1] - marks[0], float(np.median(np.diff(marks[1:])))


def main(arguments: Arguments) -> None:
    """Measure, and print the results."""
    built_in, plain, x0 = objectives(arguments.side)
    found: dict[str, list[tuple[float, float]]] = {"built-in": [], "function": []}
    for _ in range(arguments.rounds):
        jax.clear_caches()
        for name, fun in (("built-in", built_in), ("function", plain)):
            found[name].append(seconds_of(fun, x0, arguments.iterations))
    medians = {name: np.median(times, axis=0) for name, times in found.items()}
    ratio = medians["function"] / medians["built-in"]
    for i, what in enumerate(("first iteration", "later iteration")):
        times = {name: round(float(median[i]), 4) for name, median in medians.items()}
        print(json.dumps({what: times, "ratio": round(float(ratio[i]), 3)}))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
