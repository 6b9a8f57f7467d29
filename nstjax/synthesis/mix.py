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
    """A painting to be used as style: ``fine``'s strokes on ``coarse``'s forms.

    As the paper says: the Gram matrices of the fine painting at shallow layers, from the coarse painting,
    with no content loss: what those layers cannot see stays where it is.

    Args:
        coarse: ``(1, h, w, 3)`` in [0, 1]: shapes and arrangement.
        fine: likewise: texture and colours.
        backbone: from :func:`nstjax.load_backbone`.
        size: longer side of the result; neither painting is enlarged to it.
        layers: whose receptive fields say what is fine.
        iterations: of L-BFGS.
        config: gives pooling and padding of the network; the default's if none.
        callback: as for :func:`nstjax.transfer`; a true answer stops, with the mixture as it is.

    Returns:
        ``(1, h', w', 3)``.

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
