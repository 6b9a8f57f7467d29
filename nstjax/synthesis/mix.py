"""Mixes the fine texture of one style image with the larger shapes of another (Gatys et al. 2017, section 6)."""

import dataclasses

import numpy as np

from nstjax.losses import Objective
from nstjax.nn.vgg import check_layers
from nstjax.optim import Lbfgs
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.solve import ProgressCallback
from nstjax.synthesis.styles import check_image
from nstjax.synthesis.transfer import transfer
from nstjax.typing import Backbone, Images

FINE_LAYERS = ("relu1_1", "relu2_1")  # conv1_1 and conv2_1 of the paper, whose code rectifies


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
    """Make a style image with the texture of one style image and the larger shapes of another.

    It optimizes the coarse image to have the Gram matrices of the fine image at shallow layers, without a content loss.
    Shapes that are larger than the receptive fields of these layers stay.

    Args:
        coarse: the image that gives the shapes, ``(1, h, w, 3)`` in [0, 1].
        fine: the image that gives texture and colors, ``(1, h, w, 3)`` in [0, 1].
        backbone: from :func:`nstjax.load_backbone`.
        size: longer side of the result in pixels; neither image is enlarged to it.
        layers: the layers whose Gram matrices are used.
        iterations: number of iterations of L-BFGS.
        config: gives pooling and padding of the network.
        callback: as for :func:`nstjax.transfer`.

    Returns:
        The style image, ``(1, h', w', 3)``.

    Raises:
        InputError: as :func:`nstjax.transfer`.
    """
    coarse = check_image("coarse style", coarse)
    check_layers(backbone, layers)
    side = min(size, max(coarse.shape[1:3]))
    settings = dataclasses.replace(
        config or TransferConfig(),
        objective=Objective(style_layers=layers, content_weight=0.0, tv_weight=0.0),
        optimizer=Lbfgs(iterations=iterations),
        scales=(side,),
        iterations=(),
        size=side,
        init="content",
        style_scale=1.0,
        style_size=None,
        colors="style",
        style_strength=None,
    )
    return transfer(coarse, fine, backbone, settings, callback).image
