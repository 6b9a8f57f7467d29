"""Texture synthesis from noise at any size (Gatys et al. 2015, arXiv 1505.07376)."""

import dataclasses

from nstjax.errors import InputError
from nstjax.optim import Lbfgs
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.problem import ExtraTerms, make_problem
from nstjax.synthesis.solve import ProgressCallback, TransferResult, TransferState, solve
from nstjax.synthesis.styles import Style
from nstjax.typing import Backbone, Images

TEXTURE = TransferConfig(
    # No total variation, as in the paper: without content it smooths where the style's gradient is small.
    objective=dataclasses.replace(
        TransferConfig().objective, content_weight=0.0, tv_weight=0.0, window_weight=0.006
    ),
    optimizer=Lbfgs(iterations=100),
    init="noise",
)
"""Default settings: style loss alone, uniform over the image, from white noise, coarse to fine.

The window loss is not in the paper, whose Gram matrices do not determine where structure is. A
``window_weight`` of 0 turns it off.
"""


def texture(
    style: Images | Style | list[Style],
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: ProgressCallback | None = None,
    *,
    shape: tuple[int, int] = (1, 1),
    init_image: Images | None = None,
    resume: TransferState | None = None,
    extra_terms: ExtraTerms | None = None,
) -> TransferResult:
    """Make a new image with the style statistics of a style image, but not its arrangement.

    Args:
        style: the style image, ``(1, h, w, 3)`` in [0, 1], or several to blend.
        backbone: feature network from :func:`nstjax.load_backbone`.
        config: settings; the default is :data:`TEXTURE`. The settings for content, content masks, colors and
            style strength are not used.
        callback: as for :func:`nstjax.transfer`.
        shape: proportions, as height and width of 1 or more; the longer side in pixels is that of the config.
        init_image: initial image, for ``config.init == "image"``.
        resume: state from which to continue.
        extra_terms: as for :func:`nstjax.transfer`.

    Returns:
        The image and the history of the run.

    Raises:
        InputError: As :func:`nstjax.transfer`; or ``config.init`` is ``"content"``, a side of ``shape`` is
            less than 1, or the styles are regions with masks.
        TransferFailed: If the loss became non-finite.
    """
    config = (config or TEXTURE).for_backbone(backbone)
    if config.init == "content":
        raise InputError("`init` content: a texture has no content; start from noise, style or an image")
    config = dataclasses.replace(config, objective=dataclasses.replace(config.objective, content_weight=0.0))
    if min(shape) < 1:
        raise InputError(f"the texture's shape is {shape}: both must be 1 or more")
    problem = make_problem(config, backbone, style, shape, init_image=init_image, extra_terms=extra_terms)
    return solve(config, problem.stage, callback, resume)
