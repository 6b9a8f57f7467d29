"""Mixes the fine texture of one style image with the larger shapes of another (Gatys et al. 2017, section 6)."""

import dataclasses

import numpy as np

from nstjax.losses import Objective
from nstjax.nn.vgg import check_layers
from nstjax.optim import Lbfgs
from nstjax.pixels import check_image
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.solve import ProgressCallback
from nstjax.synthesis.transfer import transfer
from nstjax.typing import Backbone, Images

FINE_LAYERS = ("relu1_1", "relu2_1")  # conv1_1 and conv2_1 in the paper, whose code applies the ReLU


def mix_scales(
    coarse: Images,
    fine: Images,
    backbone: Backbone,
    size: int = 512,
    layers: tuple[str, ...] = FINE_LAYERS,
    iterations: int = 100,
    config: TransferConfig | None = None,
    callback: ProgressCallback | None = None,
) -> np.ndarray:
    """Make a style image with the brushstrokes of ``fine`` and the shapes of ``coarse``.

    As in the paper, the image starts from ``coarse``, and only the Gram matrices of ``fine`` at shallow
    layers are matched, without a content loss. Structure that these layers do not capture stays as it is.

    Args:
        coarse: style image that gives the shapes and the composition, ``(1, h, w, 3)`` in [0, 1].
        fine: style image that gives the texture and the colors, likewise.
        backbone: feature network from :func:`nstjax.load_backbone`.
        size: longer side of the result in pixels. Neither image is enlarged to it.
        layers: layers to match; their receptive fields determine which texture is fine.
        iterations: number of L-BFGS iterations.
        config: settings of the network (such as pooling, padding, precision and tiles); those of a default
            :class:`TransferConfig` if None. Its objective, optimizer, scales, loss tolerance, start, style size and color
            settings are not used.
        callback: as for :func:`nstjax.transfer`; returning true stops the run, and the image so far is
            returned.

    Returns:
        ``(1, h', w', 3)``, float32 in [0, 1].

    Raises:
        InputError: As :func:`nstjax.transfer`.
        TransferFailed: If the loss became non-finite.
    """
    coarse = check_image("coarse style image", coarse)
    check_layers(backbone, layers)
    side = min(size, max(coarse.shape[1:3]))
    settings = dataclasses.replace(
        config or TransferConfig(),
        objective=Objective(style_layers=layers, content_weight=0.0, tv_weight=0.0),
        optimizer=Lbfgs(iterations=iterations),
        scales=(side,),
        iterations=(),
        loss_tolerance=0.0,
        size=side,
        init="content",
        style_scale=1.0,
        style_size=None,
        colors="style",
        style_strength=None,
    )
    return transfer(coarse, fine, backbone, settings, callback).image
