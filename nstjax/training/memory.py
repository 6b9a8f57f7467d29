"""Estimates the memory of a training, and checks that it is available."""

import jax

from nstjax.errors import InputError
from nstjax.free_memory import device_bytes
from nstjax.nn.vgg import values_per_pixel
from nstjax.training.config import TrainConfig
from nstjax.typing import Backbone

# Fitted to what XLA allocates for a step of the preset "quick" with the embedded network: 490 values a pixel.
_BASE = 0.75 * 2**30  # libraries, programs, the networks' weights and Adam's moments
OF_GENERATOR = 1.0  # times all its arrays: these are saved for the gradient
OF_NETWORK = 2.5  # times the convolutions' results: of the picture, its gradient, and of the photograph
_PICTURES = 12  # values a pixel of the batch


def training_bytes(config: TrainConfig, backbone: Backbone, devices: int = 1) -> float:
    """Return about how many bytes a step takes at its peak: of the process on a CPU, else of a device.

    Args:
        config: with its layers named.
        backbone: the feature network.
        devices: that share the batch, each with memory of its own.
    """
    plan = config.generator.plan()
    generator = sum(step.channels / 4**step.level for step in plan.steps)
    network = values_per_pixel(backbone, config.objective.layers)
    ahead = 3 * (1 + config.data.prefetch + config.data.workers)  # batches that wait
    values = OF_GENERATOR * generator + OF_NETWORK * network + _PICTURES
    pixels = config.data.batch_size * config.data.size**2
    style = OF_NETWORK * network * config.style_size**2
    return _BASE + 4 * (max(values / devices * pixels, style) + ahead * pixels)


def check_training_memory(config: TrainConfig, backbone: Backbone) -> None:
    """Refuse a training that will not fit.

    Args:
        config: with its layers named.
        backbone: the feature network.

    Raises:
        InputError: it says how much is needed, how much there is, and which options to change.
    """
    devices = 1 if jax.default_backend() == "cpu" else jax.device_count()
    needed, there = training_bytes(config, backbone, devices), device_bytes()
    if needed > there:
        raise InputError(
            f"a batch of {config.data.batch_size} photographs of {config.data.size} pixels a side needs about "
            f"{needed / 2**30:.1f} GiB, and {there / 2**30:.1f} GiB are free: try a smaller `data.size` or `batch_size`"
        )
