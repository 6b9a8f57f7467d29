"""Reconstruction of an image from the activations, or the statistics, of a layer."""

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
"""The default: content alone, from white noise, at one scale, so that what is seen is the layer's.

The total variation settles what pooling cannot see: without it that stays noise."""


def reconstruct(
    image: Images,
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: ProgressCallback | None = None,
    *,
    init_image: Images | None = None,
    resume: TransferState | None = None,
) -> TransferResult:
    """Find an image whose activations, or whose statistics, are those of a given one.

    With content layers alone it is the inversion of Mahendran and Vedaldi 2015 (arXiv 1412.0035) and Fig. 2.3
    of the thesis; with style layers alone, Fig. 2.5. Which of them counts the weights say.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
        backbone: from :func:`nstjax.load_backbone`.
        config: the default is :data:`RECONSTRUCT`: content from the deepest usual layer that the weights have; what it
            says of colours and strength is not used.
        callback: as for :func:`nstjax.transfer`.
        init_image: the start, for ``config.init == "image"``.
        resume: go on from here.

    Raises:
        InputError: as :func:`nstjax.transfer`; or the start is the image itself.
        TransferFailed: the loss became non-finite.
    """
    config = config or RECONSTRUCT
    if config.init in ("content", "style"):
        raise InputError(
            f"`init` {config.init}: a reconstruction from the image itself shows nothing; start from noise"
        )
    config = dataclasses.replace(config, colors="style", style_strength=None)
    return transfer(image, image, backbone, config, callback, init_image=init_image, resume=resume)
