"""Estimate the memory of a training run, and check that it is available."""

import jax

from nstjax.errors import InputError
from nstjax.free_memory import device_bytes
from nstjax.nn.vgg import values_per_pixel
from nstjax.training.config import TrainConfig
from nstjax.typing import Backbone

# Fitted to the memory that XLA allocates for a step of the preset "quick" with the embedded network:
# 490 values per pixel.
_BASE = 0.75 * 2**30  # bytes: libraries, compiled programs, the weights of the networks, Adam's moments
OF_GENERATOR = 1.0  # times all arrays of the generator, which are saved for the gradient
OF_NETWORK = 2.5  # times the outputs of all convolutions: for the picture, its gradient, and the photograph
_PICTURES = 12  # values per pixel: the images of the batch themselves


def training_bytes(config: TrainConfig, backbone: Backbone, devices: int = 1) -> float:
    """Estimate the peak memory of a training step in bytes.

    The peak is either that of a step or that of the style targets, which are computed before the first step; the
    larger one counts. The batches that are prepared in advance and a constant for libraries and weights are added.

    Args:
        config: the settings, whose objective names its layers.
        backbone: the feature network.
        devices: number of devices over which the batch is distributed. On a CPU it is 1, because all devices share
            one memory.

    Returns:
        The memory of each device; on a CPU, that of the process.
    """
    plan = config.generator.plan()
    generator = sum(step.channels / 4**step.level for step in plan.steps)
    network = values_per_pixel(backbone, config.objective.layers)
    ahead = 3 * (1 + config.data.prefetch + config.data.workers)  # 3 channels of each prefetched batch
    values = OF_GENERATOR * generator + OF_NETWORK * network + _PICTURES
    pixels = config.data.batch_size * config.data.size**2
    style = OF_NETWORK * network * config.style_size**2
    return _BASE + 4 * (max(values / devices * pixels, style) + ahead * pixels)


def check_training_memory(config: TrainConfig, backbone: Backbone) -> None:
    """Check that a training step fits into the free memory.

    Args:
        config: the settings, whose objective names its layers.
        backbone: the feature network.

    Raises:
        InputError: If it does not fit. The message gives the needed and the free memory, and the settings to change.
    """
    devices = 1 if jax.default_backend() == "cpu" else jax.device_count()
    needed, there = training_bytes(config, backbone, devices), device_bytes()
    if needed > there:
        raise InputError(
            f"a batch of {config.data.batch_size} photographs of {config.data.size} pixels a side needs about "
            f"{needed / 2**30:.1f} GiB, and {there / 2**30:.1f} GiB are free: try a smaller `data.size` or `batch_size`"
        )
