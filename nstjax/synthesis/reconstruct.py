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
    """Reconstruct an image from its activations, or from the statistics of its activations.

    With a content weight only, this is the inversion of Mahendran and Vedaldi 2015 (arXiv 1412.0035) and Fig. 2.3 of the
    thesis; with a style weight only, Fig. 2.5.

    Args:
        image: ``(1, h, w, 3)`` in [0, 1].
        backbone: from :func:`nstjax.load_backbone`.
        config: the settings; by default :data:`RECONSTRUCT`: content from the default content layer. Settings of colors and
            strength are not used.
        callback: as for :func:`nstjax.transfer`.
        init_image: the image to start from if ``config.init`` is ``"image"``.
        resume: a state to resume from.

    Returns:
        A :class:`~nstjax.synthesis.TransferResult`.

    Raises:
        InputError: as :func:`nstjax.transfer`, or ``config.init`` is ``"content"`` or ``"style"``.
        TransferFailed: the loss is not finite.
    """
    config = config or RECONSTRUCT
    if config.init in ("content", "style"):
        raise InputError(
            f"`init` {config.init}: a reconstruction from the image itself shows nothing; start from noise"
        )
    config = dataclasses.replace(config, colors="style", style_strength=None)
    return transfer(image, image, backbone, config, callback, init_image=init_image, resume=resume)
