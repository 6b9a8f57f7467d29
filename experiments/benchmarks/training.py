"""Speed of training compared with PyTorch: ``python -m experiments.benchmarks.training``.

Measures the images per second of a whole training step in nstjax and in PyTorch
(:mod:`experiments.benchmarks.torch_training`): forward and backward pass through Johnson's network and the
feature network, losses and Adam. Both use the same weights, photographs, batch size and number of threads.
They are measured in turns, after a warm-up, and the medians are reported. The parts of the step are measured
likewise. Before the measurements, loss and gradient of the two are compared. Writes
``experiments/benchmarks/training.json``. Run it on an otherwise idle machine.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import nstjax
from experiments.benchmarks.ours import random_vgg19
from experiments.benchmarks.timing import Neighbours, measure
from nstjax.data import Batch, DataConfig
from nstjax.generators import JohnsonConfig, generate_train
from nstjax.heap import keep_freed_memory
from nstjax.losses import Objective
from nstjax.nn.prepare import prepared
from nstjax.nn.table import FIRST_RELUS
from nstjax.reports import environment
from nstjax.training import TrainConfig, parallel
from nstjax.training.state import init_state, make_optimizer
from nstjax.training.step import batch_loss, make_apply, style_targets
from nstjax.typing import Backbone

TOLERANCE = 1e-3  # relative, of loss and of the gradient's norm


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Command-line arguments. Every combination is measured."""

    sizes: tuple[int, ...] = (128, 256)
    """Sides of the crops."""
    widths: tuple[float, ...] = (0.5, 1.0)
    """Of the generator."""
    networks: tuple[Literal["vgg19", "embedded"], ...] = ("vgg19", "embedded")
    """Feature networks: VGG-19 to relu3_2, with random weights, which take the same time, and the embedded network."""
    upsamplings: tuple[Literal["bilinear", "nearest"], ...] = ("bilinear", "nearest")
    """Of the generator; parts are measured for the first."""
    batch: int = 4
    """Photographs in a step."""
    repeats: int = 7
    """Of each step; the median counts. Parts have half as many."""
    out: Path = Path(__file__).with_name("training.json")
    """Where the numbers go."""


LAYERS = {
    "vgg19": (("relu3_2",), ("relu1_1", "relu2_1", "relu3_1")),
    "embedded": (("relu4_2",), FIRST_RELUS),
}
"""Content and style layers for each feature network."""


def make_config(size: int, width: float, upsampling: Any, batch: int, network: str = "vgg19") -> TrainConfig:
    """Return a config with mean squared errors, and with content and style losses of similar size."""
    content_layers, style_layers = LAYERS[network]
    objective = Objective(
        content_layers=content_layers,
        style_layers=style_layers,
        style_weight=10.0,
        content_loss="mean",
        style_loss="johnson",
    )
    return TrainConfig(
        learning_rate=1e-3,
        generator=JohnsonConfig(norm="instance", upsampling=upsampling, width=width),
        objective=objective,
        data=DataConfig("fake", size=size, batch_size=batch),
    )


Programs = dict[str, Callable[[], Any]]


def nstjax_programs(
    config: TrainConfig, backbone: Backbone, style: np.ndarray, photographs: np.ndarray
) -> tuple[Programs, dict[str, float]]:
    """Return the compiled step and its parts, and the metrics of the first step.

    Args:
        config: the training config.
        backbone: the feature network.
        style: the style image, ``(1, h, w, 3)``.
        photographs: a batch, ``(n, h, w, 3)``.

    Returns:
        Functions without arguments by name, and loss and gradient norm of the first step.
    """
    state = init_state(config)
    targets = style_targets(config, backbone, style)
    step = parallel.step_on_devices(config, make_optimizer(config))
    batch = Batch(photographs, np.arange(len(photographs), dtype=np.int32))
    fixed = parallel.on_every_device((state, prepared(backbone, config.objective.layers), targets))
    after, metrics = step(fixed, batch)
    first = {name: float(metrics[name]) for name in ("loss", "gradient_norm")}
    kept = [after]

    def whole() -> None:
        kept[0], metrics = step((kept[0], *fixed[1:]), batch)
        float(metrics["loss"])

    apply, record = make_apply(config), config.objective

    def paint(params: Any, x: jax.Array) -> jax.Array:
        return generate_train(config.generator, {"params": params, "batch_stats": {}}, x)[0]

    def painting_loss(params: Any, x: jax.Array, cotangent: jax.Array) -> jax.Array:
        return jnp.vdot(paint(params, x), cotangent)

    def loss(images: jax.Array, network: Backbone, style: Any, x: jax.Array) -> jax.Array:
        return batch_loss(record, apply, network, style, images, x)[0]

    x, params = jnp.asarray(photographs), fixed[0].params
    made = [jax.jit(f) for f in (paint, jax.value_and_grad(painting_loss), loss, jax.value_and_grad(loss))]
    arguments: list[tuple[Any, ...]] = [(params, x), (params, x, x), *[(x + 0.01, *fixed[1:], x)] * 2]
    names = ("generator", "generator and gradient", "loss", "loss and gradient")
    programs: Programs = {
        name: lambda f=f, a=a: jax.block_until_ready(f(*a))  # type: ignore[misc]
        for name, f, a in zip(names, made, arguments, strict=True)
    }
    return {"step": whole, **programs}, first


def torch_programs(
    config: TrainConfig, backbone: Backbone, style: np.ndarray, photographs: np.ndarray, channels_last: bool
) -> tuple[Programs, dict[str, float]]:
    """Return the same for PyTorch; see :func:`nstjax_programs`."""
    from experiments.benchmarks.torch_training import Trainer

    assert isinstance(config.generator, JohnsonConfig)
    trainer = Trainer(
        config.generator,
        jax.tree.map(np.asarray, init_state(config).params),
        backbone,
        config.objective,
        style,
        config.learning_rate,
        channels_last,
    )
    first = trainer.first(photographs)
    return trainer.programs(photographs), first


def case(config: TrainConfig, backbone: Backbone, repeats: int, parts: bool) -> dict[str, Any]:
    """Measure one combination: images per second of both libraries, their ratio, and seconds of the parts."""
    side, count = config.data.size, config.data.batch_size
    rng = np.random.default_rng(0)
    style, photographs = (rng.uniform(size=(n, side, side, 3)).astype(np.float32) for n in (1, count))
    ours, mine = nstjax_programs(config, backbone, style, photographs)
    programs = {"nstjax": ours}
    difference = 0.0
    for name, channels_last in (("PyTorch", False), ("PyTorch, channels last", True)):
        programs[name], theirs = torch_programs(config, backbone, style, photographs, channels_last)
        for quantity, value in mine.items():
            error = abs(theirs[quantity] / value - 1)
            if not error < TOLERANCE:
                raise RuntimeError(f"{quantity} is {value} in nstjax and {theirs[quantity]} in {name}")
            difference = max(difference, error)
    neighbours = Neighbours()
    times = measure({name: each["step"] for name, each in programs.items()}, repeats)
    seconds = {name: float(np.median(each.wall)) for name, each in times.items()}
    best = min((name for name in programs if name != "nstjax"), key=lambda name: seconds[name])
    cpu = {name: float(np.median(times[name].cpu)) for name in ("nstjax", best)}
    found: dict[str, Any] = {
        "images_per_second": {name: round(count / value, 2) for name, value in seconds.items()},
        "ratio": round(seconds[best] / seconds["nstjax"], 2),
        "ratio_of_the_fastest_repeats": round(min(times[best].wall) / min(times["nstjax"].wall), 2),
        "cpu_seconds_of_a_step": {name: round(value, 3) for name, value in cpu.items()},
        "cpu_time_of_other_processes": neighbours.share(),
        "relative_difference_of_loss_and_gradient": float(f"{difference:.1e}"),
    }
    if parts:
        names = [name for name in ours if name != "step"]
        pairs = {(who, part): programs[who][part] for part in names for who in ("nstjax", best)}
        labelled = {f"{who}: {part}": run for (who, part), run in pairs.items()}
        parts_times = measure(labelled, max(1, repeats // 2))
        for what in ("wall", "cpu"):
            found[f"{what}_seconds_of_parts"] = {
                name: round(float(np.median(getattr(each, what))), 4) for name, each in parts_times.items()
            }
    return found


def main(arguments: Arguments) -> None:
    """Measure, print the results and write them to a file."""
    try:
        from experiments.benchmarks.torch_training import use_threads
    except ImportError:
        raise SystemExit(
            "this measures nstjax against PyTorch, which is not installed: pip install 'torch==2.13.0'"
        ) from None
    keep_freed_memory()  # as the command line does; PyTorch, in the same process, benefits too
    threads = len(os.sched_getaffinity(0))
    version = use_threads(threads)  # XLA uses one thread for each core
    backbones = {
        name: random_vgg19("conv3_2") if name == "vgg19" else nstjax.load_backbone(name)
        for name in arguments.networks
    }
    about = {**environment(), "torch": version, "threads": threads, "batch": arguments.batch}
    cases: list[dict[str, Any]] = []
    for upsampling, network, size, width in product(
        arguments.upsamplings, arguments.networks, arguments.sizes, arguments.widths
    ):
        config = make_config(size, width, upsampling, arguments.batch, network)
        found = case(config, backbones[network], arguments.repeats, upsampling == arguments.upsamplings[0])
        cases.append({"network": network, "size": size, "width": width, "upsampling": upsampling, **found})
        print(json.dumps(cases[-1], indent=1), flush=True)
        arguments.out.write_text(json.dumps({"cases": cases, "environment": about}, indent=1) + "\n")
        jax.clear_caches()


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
