"""Estimates the memory of a synthesis, and checks that it is available."""

from collections.abc import Sequence

import jax

from nstjax.errors import InputError
from nstjax.free_memory import device_bytes
from nstjax.images.resize import fit_long_side
from nstjax.losses.parts import check_parts
from nstjax.losses.windows import cell_side
from nstjax.nn.table import CHANNELS_OF_BLOCK
from nstjax.nn.vgg import steps_to, values_per_pixel
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.loss import rows_on_devices
from nstjax.synthesis.pyramid import style_size_at
from nstjax.synthesis.tiled_loss import make_grid
from nstjax.typing import Backbone, Images

# Fitted to the peak memory of processes on a CPU (python -m experiments.benchmarks.large), to within a fifth.
_BASE = 0.55 * 2**30  # bytes: libraries, programs, small images
OF_ACTIVATIONS = (
    3.0  # times the convolutions' outputs: these, the values saved for the gradient, and the gradient itself
)
WINDOW_COPIES = 4.0  # number of copies of the windows' Gram matrices
_PICTURES = 12  # number of images of the result's size, in addition to the optimizer's history
TILE = 512  # pixels: the tile size that the message recommends


def _channels(backbone: Backbone, layer: str) -> int:
    """Return the number of channels of a layer."""
    if layer.startswith("pool"):
        return CHANNELS_OF_BLOCK[int(layer[4]) - 1]
    weights = backbone.params[f"conv{layer[4:]}"]
    return int(weights["head"].shape[1] if "head" in weights else weights["bias"].shape[0])


def transfer_bytes(
    config: TransferConfig,
    backbone: Backbone,
    height: int,
    width: int,
    styles: tuple[tuple[int, int], ...] = (),
    devices: int = 1,
) -> float:
    """Estimate the peak memory at the last scale, in bytes.

    On a CPU it is the memory of the process, otherwise that of the first device.

    Args:
        config: the config, with its layers named.
        backbone: the feature network.
        height: height of the result in pixels.
        width: width of the result in pixels.
        styles: ``(height, width)`` of each style image at the last scale.
        devices: number of devices that share the rows of the image, each with its own memory.
    """
    layers = config.objective.layers
    pixels = float(height * width)
    looked_at = pixels
    if config.by_tiles(height, width):
        grid = make_grid((height, width), config.tile, backbone.arch, layers)
        looked_at = float(grid.rows.window * grid.columns.window)
    values = OF_ACTIVATIONS * values_per_pixel(backbone, layers) * looked_at / devices
    values += 3 * (_PICTURES + config.optimizer.arrays_held) * pixels
    for layer in config.objective.used_content_layers:
        kept = pixels / 4 ** steps_to(backbone.arch, layer).count("pool")
        values += _channels(backbone, layer) * kept * (2 if config.tile else 1)
    values += _of_windows(config, backbone, height, width)
    painting = max((h * w for h, w in styles), default=0)
    values = max(values, values_per_pixel(backbone, config.objective.used_style_layers) * painting)
    return _BASE + 4 * values


def _of_windows(config: TransferConfig, backbone: Backbone, height: int, width: int) -> float:
    """Estimate the number of values that the window loss holds, for the layer that needs the most.

    The values are the Gram matrices of the windows and their gradients, :data:`WINDOW_COPIES` copies in all. Without a
    window loss it is 0.
    """
    record, most = config.objective, 0.0
    if record.window_weight:
        for layer in record.used_style_layers:
            shrink = 2 ** steps_to(backbone.arch, layer).count("pool")
            rows, columns = height // shrink, width // shrink
            side = cell_side(rows, columns, record.windows)
            most = max(most, (rows // side) * (columns // side) * _channels(backbone, layer) ** 2)
    return WINDOW_COPIES * most


def _tileable(config: TransferConfig) -> bool:
    """Return True if the objective can be computed in tiles."""
    try:
        check_parts(config.objective)
    except InputError:
        return False
    return True


def devices_sharing(config: TransferConfig, height: int) -> int:
    """Return the number of devices among which the rows of the image are divided.

    It is 1 on a CPU: its devices use the same memory, so that dividing the rows does not reduce what is needed.
    """
    sharding = rows_on_devices(height) if config.shard else None
    return 1 if sharding is None or jax.default_backend() == "cpu" else sharding.num_devices


def check_transfer_memory(
    config: TransferConfig,
    backbone: Backbone,
    proportions: tuple[int, int],
    styles: Sequence[Images] = (),
) -> None:
    """Check that a synthesis fits in memory. It is not checked if the network lacks a layer of the objective.

    Args:
        config: the config of the synthesis.
        backbone: the feature network.
        proportions: height and width of the content image.
        styles: the style images, ``(1, h, w, 3)``.

    Raises:
        InputError: If the synthesis does not fit. The message gives the memory that it needs, the memory that is
            free, and settings to try.
    """
    config = config.for_backbone(backbone)
    if not set(config.objective.layers) <= set(backbone.layers):
        return  # the synthesis itself raises an error for this
    side = config.pyramid()[-1]
    height, width = fit_long_side(*proportions, side)
    sizes = tuple(style_size_at(image, side, config) for image in styles)
    devices = devices_sharing(config, height)
    needed, there = transfer_bytes(config, backbone, height, width, sizes, devices), device_bytes()
    if needed <= there:
        return
    advice = []
    if not 0 < config.tile <= TILE and _tileable(config):
        advice.append(f"`tile` {TILE}")
    if config.optimizer.arrays_held > 20:
        advice.append("`history_size` 5")
    advice += ["a smaller `size`", "a smaller `style_size`"] if styles else ["a smaller `size`"]
    raise InputError(
        f"a picture of {width}×{height} pixels needs about {needed / 2**30:.1f} GiB, and {there / 2**30:.1f} GiB are "
        f"free: try {', '.join(advice)}"
    )
