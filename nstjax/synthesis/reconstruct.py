"""Reconstruction of an image from the activations or the style statistics of its layers."""

import dataclasses

from nstjax.errors import InputError
from nstjax.losses import Objective
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.solve import ProgressCallback, TransferResult, TransferState
from nstjax.synthesis.transfer import transfer
from nstjax.typing import Backbone, Images

RECONSTRUCT = TransferConfig(
    objective=Objective(content_weight=1.0, style_weight=0.0, tv_weight=0.05),
    size=256,
    scales=(256,),
    init="noise",
)
"""Default settings: content loss alone, from white noise, at one scale.

The result then shows only what the layer represents. A small total variation smooths what pooling discards;
without it, that part would stay noise.
"""


def reconstruct(
    image: Images,
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: ProgressCallback | None = None,
    *,
    init_image: Images | None = None,
    resume: TransferState | None = None,
) -> TransferResult:
    """Find an image whose activations or style statistics are those of a given image.

    With content layers alone it is the inversion of Mahendran and Vedaldi 2015 (arXiv 1412.0035), shown in
    Fig. 2.3 of the Pomona thesis (Barnes 2018). With style layers alone it is Fig. 2.5 of the thesis. The
    weights of the objective determine which layers are used.

    Args:
        image: the image to reconstruct, ``(1, h, w, 3)`` in [0, 1].
        backbone: feature network from :func:`nstjax.load_backbone`.
        config: settings; the default is :data:`RECONSTRUCT`, with the deepest of the default content layers
            that the network has. The settings for colors and style strength are not used.
        callback: as for :func:`nstjax.transfer`.
        init_image: initial image, for ``config.init == "image"``.
        resume: state from which to continue.

    Returns:
        The image and the history of the run.

    Raises:
        InputError: As :func:`nstjax.transfer`, or ``config.init`` is ``"content"`` or ``"style"``, which is
            the image itself.
        TransferFailed: If the loss became non-finite.
    """
    config = config or RECONSTRUCT
    if config.init in ("content", "style"):
        raise InputError(
            f"`init` {config.init}: a reconstruction from the image itself shows nothing; start from noise"
        )
    config = dataclasses.replace(config, colors="style", style_strength=None)
    return transfer(image, image, backbone, config, callback, init_image=init_image, resume=resume)
