"""Precisions and memory layouts on an accelerator: ``python -m experiments.benchmarks.precision``.

Measures value and gradient of the five-layer objective (VGG-19 to conv5_1, random weights) in float32, TF32
and bfloat16, with channels last, as in nstjax, and with channels first. If an interpreter has PyTorch, it is
measured in turns with these, compiled by ``torch.compile`` and with channels_last. Also reports the errors of
loss and gradient relative to float32, and the fraction of the roofline: the time of the convolutions'
operations at the rate of a large matrix product in the same precision, divided by the measured time. Writes
precision.json. Runtime: a few minutes on a GPU; on a CPU give small ``--sizes``.
"""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax

from experiments.benchmarks import ours
from experiments.benchmarks.peer import has_pytorch, lines_of
from experiments.benchmarks.timing import measure
from nstjax.heap import keep_freed_memory
from nstjax.losses import make_targets, objective
from nstjax.nn.conv import LAX_PRECISION
from nstjax.nn.prepare import prepared
from nstjax.nn.vgg import preprocess
from nstjax.reports import environment
from nstjax.synthesis.loss import FeatureExtractor
from nstjax.typing import Backbone, Features, Images, Precision

FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments."""

    sizes: tuple[int, ...] = (256, 512, 1024)
    """Sides of the square image."""
    precisions: tuple[Precision, ...] = get_args(Precision)
    """Of the products."""
    rounds: int = 3
    """In turns with PyTorch."""
    repeats: int = 10
    """In a round."""
    python: str = sys.executable
    """An interpreter that may have PyTorch."""
    product: int = 0
    """Side of the product that the roofline is measured by; 0: 8192, or 2048 on a CPU."""
    out: Path = FOLDER / "precision.json"
    """Where the numbers go."""


@dataclasses.dataclass(frozen=True)
class ChannelsFirst:
    """The same network computed with NCHW arrays. It returns the activations as NHWC, as the losses need."""

    precision: Precision

    def __call__(self, network: Backbone, images: Images, layers: tuple[str, ...]) -> Features:
        """Compute the activations of ``layers``, as :func:`nstjax.features` does with max pooling."""
        x = preprocess(images, network.preprocessing).transpose(0, 3, 1, 2)
        x = x.astype(jnp.bfloat16) if self.precision == "bfloat16" else x
        found: Features = {}
        for name in network.layers:
            if len(found) == len(layers):
                break
            if name.startswith("conv"):
                kernel, bias = (network.params[name][part].astype(x.dtype) for part in ("kernel", "bias"))
                how = LAX_PRECISION.get(self.precision)
                layout = ("NCHW", "HWIO", "NCHW")
                x = lax.conv_general_dilated(
                    x, kernel, (1, 1), "SAME", dimension_numbers=layout, precision=how
                )
                x = x + bias[:, None, None]
            elif name.startswith("relu"):
                x = jax.nn.relu(x)
            else:
                n, c, h, w = x.shape
                windows = x[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2)
                x = windows.max(axis=(3, 5))
            if name in layers:
                found[name] = x.transpose(0, 2, 3, 1).astype(images.dtype)
        return found


def evaluations(
    network: Backbone, side: int, precisions: tuple[Precision, ...]
) -> dict[str, Callable[[], Any]]:
    """Return functions that compute value and gradient at a random image, by layout and precision.

    The targets are computed in float32.
    """
    rng = np.random.default_rng(0)
    x, content, style = (jnp.asarray(rng.uniform(size=(1, side, side, 3)), jnp.float32) for _ in range(3))
    exact = FeatureExtractor("max", 1.0, "zeros", "plain", "float32")
    record = ours.FIVE
    targets = make_targets(
        record, exact(network, content, record.content_layers), exact(network, style, record.style_layers)
    )
    step = jax.jit(lambda fun, x: jax.value_and_grad(fun, has_aux=True)(x))

    def run(fun: Any) -> Any:
        return jax.block_until_ready(step(fun, x))

    ready = prepared(network, record.layers)  # bfloat16 uses the original kernels
    found: dict[str, Callable[[], Any]] = {}
    for precision in precisions:
        for layout, apply, weights in (
            ("NHWC", FeatureExtractor("max", 1.0, "zeros", "auto", precision), ready),
            ("NCHW", ChannelsFirst(precision), network),
        ):
            fun = objective(record, apply, weights, targets)
            found[f"nstjax, {layout}, {precision}"] = partial(run, fun)
    return found


def rates(side: int, precisions: tuple[Precision, ...]) -> dict[str, float]:
    """Measure the rate of a large product of random matrices, in 10¹² operations per second, by precision.

    Args:
        side: side of the square matrices.
        precisions: precisions of the product.
    """
    a = jax.random.normal(jax.random.key(0), (side, side))
    product = jax.jit(lambda a, how: jnp.matmul(a, a, precision=how), static_argnums=1)

    def run(a: jax.Array, how: lax.Precision | None) -> Any:
        return product(a, how).block_until_ready()

    half = a.astype(jnp.bfloat16)
    runs = {str(p): partial(run, half if p == "bfloat16" else a, LAX_PRECISION.get(p)) for p in precisions}
    times = measure(runs, 7)
    return {p: round(2 * side**3 / float(np.median(times[p].wall)) / 1e12, 4) for p in precisions}


def pytorch(arguments: Arguments, side: int, precision: str) -> list[float]:
    """Return the seconds measured with PyTorch. If it fails, print the error and return an empty list."""
    command = [arguments.python, "-m", "experiments.benchmarks.torch_evaluation", "--size", str(side)]
    command += ["--precision", precision, "--repeats", str(arguments.repeats)]
    try:
        (line,) = lines_of(command)
    except subprocess.CalledProcessError as error:
        print(f"PyTorch, {precision}, {side}: {error.stderr.strip().splitlines()[-1:]}", flush=True)
        return []
    seconds: list[float] = line["seconds"]
    return seconds


def errors(runs: dict[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
    """Return the relative errors of loss and gradient, compared with the first of the functions."""
    found: dict[str, dict[str, float]] = {}
    exact: Any = None
    for name, run in runs.items():
        (value, _), gradient = jax.device_get(run())
        exact = exact or (value, gradient)
        norm = float(np.linalg.norm(exact[1]))
        found[name] = {
            "loss": float(f"{abs(value / exact[0] - 1):.1e}"),
            "gradient": float(f"{np.linalg.norm(gradient - exact[1]) / norm:.1e}"),
        }
    return found


def main(arguments: Arguments) -> None:
    """Measure, print the results and write them to a file."""
    keep_freed_memory()
    network, peer = ours.random_vgg19(), has_pytorch(arguments.python)
    product = arguments.product or (2048 if jax.default_backend() == "cpu" else 8192)
    peak = rates(product, arguments.precisions)
    results: dict[str, Any] = {"TFLOP/s": peak, "environment": environment(), "sizes": {}}
    print(json.dumps(peak), flush=True)
    for side in arguments.sizes:
        runs = evaluations(network, side, arguments.precisions)
        wrong = errors(runs)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                times[name] += measure({name: run}, arguments.repeats)[name].wall
            for precision in arguments.precisions if peer else ():
                times.setdefault(f"PyTorch, {precision}", []).extend(pytorch(arguments, side, precision))
        products = ours.products(side)
        results["sizes"][side] = {
            name: {
                "ms": round(1000 * float(np.median(seconds)), 3),
                "of_the_roofline": round(
                    products / 1e12 / peak[name.rsplit(", ", 1)[1]] / float(np.median(seconds)), 3
                ),
                **({"error": wrong[name]} if name in wrong else {}),
            }
            for name, seconds in times.items()
            if seconds
        }
        print(json.dumps({side: results["sizes"][side]}, indent=1), flush=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
