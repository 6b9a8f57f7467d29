"""The nstjax part of the comparison with PyTorch: ``python -m experiments.benchmarks.ours``.

It runs in its own process and prints one JSON object per line, as the PyTorch programs do, with times in
seconds. ``eval`` measures value and gradient of the five-layer objective (VGG-19 to conv5_1, max pooling,
random weights). ``solve`` minimizes the three-block objective and prints time and loss after every iteration.
By default it does so twice: the first run includes compilation, the second does not.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from PIL import Image

import nstjax
from experiments.programs import keep_programs
from nstjax import TransferConfig
from nstjax.heap import keep_freed_memory
from nstjax.images.io import decode_image, to_bytes
from nstjax.losses import Objective, make_targets, objective
from nstjax.nn.conv import Method
from nstjax.nn.prepare import prepared
from nstjax.nn.table import FIRST_RELUS
from nstjax.nn.vgg import conv_names, kernel_shape, make_backbone
from nstjax.optim import Lbfgs, Step, minimize
from nstjax.synthesis import Progress
from nstjax.synthesis.loss import FeatureExtractor, LossNetwork
from nstjax.synthesis.solve import HistoryEntry
from nstjax.typing import Backbone
from nstjax.weights.canonical import CAFFE_BGR

FIVE = Objective(
    ("relu4_2",),
    FIRST_RELUS,
    content_weight=1.0,
    style_weight=1.0,
    tv_weight=0.0,
    content_loss="mean",
    style_loss="johnson",
    style_layer_weights=(1.0,) * 5,
)
THREE = dataclasses.replace(
    FIVE,
    content_layers=("relu3_2",),
    style_layers=("relu1_1", "relu2_1", "relu3_1"),
    content_weight=5.0,
    style_weight=100.0,
    style_layer_weights=(1.0,) * 3,
)
LIKE_THE_PEER: dict[str, Any] = {"pooling": "max", "padding": "zeros"}


def random_vgg19_names(deepest: str = "conv5_1") -> tuple[str, ...]:
    """Return the names of VGG-19's convolutions up to ``deepest``."""
    names = conv_names("vgg19")
    return names[: names.index(deepest) + 1]


def random_vgg19(deepest: str = "conv5_1") -> Backbone:
    """Return VGG-19 with He initialization, to measure its time. It is not trained."""
    rng = np.random.default_rng(0)
    params = {}
    for name in random_vgg19_names(deepest):
        shape = kernel_shape(name)
        kernel = rng.normal(size=shape) * np.sqrt(2 / (9 * shape[2]))
        params[name] = {
            "kernel": jnp.asarray(kernel, jnp.float32),
            "bias": jnp.zeros(shape[3], jnp.float32),
        }
    return make_backbone(params, "vgg19", CAFFE_BGR, "random weights")


def products(side: int) -> float:
    """Return the number of floating-point operations of the convolutions for value and gradient.

    The convolutions are computed directly, and the gradient is that with respect to the image. A
    multiplication and an addition count as two operations.

    Args:
        side: side of the square image in pixels.
    """
    total = 0.0
    for name in random_vgg19_names():
        _, _, c, d = kernel_shape(name)
        total += 2 * 2 * 9 * c * d * (side // 2 ** (int(name[4]) - 1)) ** 2
    return total


def evaluation(network: Backbone, record: Objective, side: int, convolution: Method) -> Callable[[], Any]:
    """Return a function without arguments that computes value and gradient at a random image.

    Its first call compiles.

    Args:
        network: the feature network.
        record: the objective.
        side: side of the square image in pixels.
        convolution: ``"auto"`` or ``"plain"``.
    """
    rng = np.random.default_rng(0)
    x, content, style = (jnp.asarray(rng.uniform(size=(1, side, side, 3)), jnp.float32) for _ in range(3))
    apply = FeatureExtractor(convolution=convolution, pooling_scale=1.0, **LIKE_THE_PEER)
    targets = make_targets(
        record, apply(network, content, record.content_layers), apply(network, style, record.style_layers)
    )
    ready = prepared(network, record.layers) if convolution == "auto" else network
    fun = objective(record, apply, ready, targets)
    step = jax.jit(lambda f, x: jax.value_and_grad(f, has_aux=True)(x))
    return lambda: jax.block_until_ready(step(fun, x))


@dataclasses.dataclass(frozen=True)
class Eval:
    """Value and gradient of the five-layer objective."""

    sizes: tuple[int, ...] = (256,)
    """Sides of the square image."""
    convolution: Literal["auto", "plain"] = "auto"
    """The quickest forms, or XLA's own."""
    repeats: int = 7
    """Of each."""


def run_eval(arguments: Eval) -> None:
    """Print a line for each size."""
    network = random_vgg19()
    for side in arguments.sizes:
        run = evaluation(network, FIVE, side, arguments.convolution)
        began = time.perf_counter()
        run()
        first = time.perf_counter() - began
        run()
        times = []
        for _ in range(arguments.repeats):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        print(json.dumps({"size": side, "seconds": times, "first": first}), flush=True)


@dataclasses.dataclass(frozen=True)
class Solve:
    """Minimization of the three-block objective, starting from the content image."""

    content: Path
    """The photograph."""
    style: Path
    """The painting."""
    weights: str = "vgg19"
    """Real ones, to relu3_2 at least."""
    size: int = 256
    """Longer side of both, in pixels."""
    iterations: int = 60
    """Of L-BFGS."""
    rounds: int = 2
    """Runs in this process; the first one compiles."""


def scaled(path: Path, size: int) -> np.ndarray:
    """Read an image and resize it.

    Args:
        path: the file.
        size: longer side in pixels.

    Returns:
        ``(1, h, w, 3)`` float32 in [0, 1].
    """
    image = Image.fromarray(to_bytes(decode_image(path, str(path))))
    ratio = size / max(image.size)
    image = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)[None] / 255


def save_inputs(path: Path, backbone: Backbone, content: Path, style: Path, size: int = 256) -> None:
    """Write the inputs of a transfer for :mod:`experiments.benchmarks.torch_lbfgs`.

    Args:
        path: the .npz file to write.
        backbone: the feature network.
        content: file of the content image.
        style: file of the style image.
        size: longer side of both images in pixels.
    """
    arrays = {f"{name}/{part}": x for name, of in backbone.params.items() for part, x in of.items()}
    np.savez(path, content=scaled(content, size), style=scaled(style, size), **arrays)


def gatys_500(
    content: np.ndarray,
    style: np.ndarray,
    weights: str,
    scales: tuple[int, ...],
    iterations: tuple[int, ...],
    goal: float = 0.0,
) -> tuple[HistoryEntry, ...]:
    """Run a transfer with the five-layer objective until it reaches a loss, and return its history.

    Convolutions that the weights lack are random.

    Args:
        content: the content image, ``(1, h, w, 3)``.
        style: the style image, likewise.
        weights: name or file of the weights.
        scales: longer sides in pixels, from coarse to fine.
        iterations: iterations at each scale.
        goal: loss at the last scale at which to stop.
    """
    real, network = nstjax.load_backbone(weights), random_vgg19()
    params = {name: real.params.get(name, random) for name, random in network.params.items()}
    network = make_backbone(params, "vgg19", real.preprocessing, f"{real.source}, random beyond")
    config = TransferConfig(
        objective=dataclasses.replace(
            FIVE, content_loss="relative", style_loss="relative", style_weight=36.0
        ),
        optimizer=Lbfgs(),
        size=scales[-1],
        scales=scales,
        iterations=iterations,
    )

    def reached(progress: Progress) -> bool:
        entry = progress.entry
        return entry.scale == len(scales) - 1 and entry.loss <= goal

    return nstjax.transfer(content, style, network, config, reached).history


def run_solve(arguments: Solve) -> None:
    """Print a line for each iteration.

    The clock starts after the targets are computed, as in the PyTorch script.
    """
    backbone = nstjax.load_backbone(arguments.weights)
    content, style = (
        jnp.asarray(scaled(path, arguments.size)) for path in (arguments.content, arguments.style)
    )
    # A longer first step than the default: with this objective it saves two evaluations.
    optimizer = Lbfgs(iterations=arguments.iterations, initial_step=0.3)
    config = TransferConfig(
        objective=THREE, optimizer=optimizer, size=arguments.size, **LIKE_THE_PEER
    ).for_backbone(backbone)
    for round_ in range(arguments.rounds):
        network = LossNetwork(config, backbone)
        targets = make_targets(
            THREE,
            network.features(content, THREE.used_content_layers),
            network.features(style, THREE.used_style_layers),
        )

        def show(step: Step, round_: int = round_) -> None:
            line = {"round": round_, "iteration": step.iteration, "loss": step.value}
            line |= {"evaluations": step.evaluations, "seconds": step.seconds}
            print(json.dumps(line), flush=True)

        fun = network.loss(jax.block_until_ready(targets), (content.shape[1], content.shape[2]))
        minimize(fun, content, optimizer, show)


Command = Annotated[Eval, tyro.conf.subcommand("eval")] | Annotated[Solve, tyro.conf.subcommand("solve")]


def main() -> None:
    """Run one of the two commands."""
    keep_freed_memory()
    keep_programs()
    arguments: Any = tyro.cli(Command, description=__doc__)
    run_eval(arguments) if isinstance(arguments, Eval) else run_solve(arguments)


if __name__ == "__main__":
    main()
