"""Texture synthesis: style alone, from noise, at any size (Gatys et al. 2015, arXiv 1505.07376)."""

import dataclasses

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.images.resize import fit_long_side, resize
from nstjax.nn.vgg import check_layers, check_size
from nstjax.optim import Lbfgs
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.network import Network
from nstjax.synthesis.pyramid import first_image
from nstjax.synthesis.solve import Callback, Stage, TransferResult, TransferState, solve
from nstjax.synthesis.sources import Style, check_image, check_regions
from nstjax.synthesis.targets import targets_at
from nstjax.typing import Backbone, Images

TEXTURE = TransferConfig(
    # No total variation, as in the paper: without content it smooths wherever the style's gradient is small.
    objective=dataclasses.replace(
        TransferConfig().objective, content_weight=0.0, tv_weight=0.0, window_weight=0.003
    ),
    optimizer=Lbfgs(iterations=100),
    init="noise",
)
"""The default: style alone, the same everywhere, from white noise, coarse to fine.

The loss of windows is not in the paper, whose Gram matrices leave open where the structure is. 0 turns it off.
"""


def exemplar_at(image: Images, side: int, config: TransferConfig) -> jax.Array:
    """The painting at a scale of a texture: as large beside it as at the last scale, never enlarged.

    A transfer's painting follows the picture down the pyramid; so does this one, but a texture may be
    larger than the painting, and its coarse scales must then show a smaller painting than theirs.
    """
    own = max(image.shape[1:3])
    full = min(own, config.style_size or round(config.pyramid()[-1] * config.style_scale))
    wanted = max(1, round(full * side / config.pyramid()[-1]))
    height, width = fit_long_side(image.shape[1], image.shape[2], wanted)
    return jnp.clip(resize(image, height, width), 0.0, 1.0)


def texture(
    style: Images | Style | list[Style],
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: Callback | None = None,
    *,
    shape: tuple[int, int] = (1, 1),
    init_image: Images | None = None,
    resume: TransferState | None = None,
) -> TransferResult:
    """A new picture with a painting's statistics and nothing of its arrangement.

    Args:
        style: the exemplar, ``(1, h, w, 3)`` in [0, 1], or several to blend.
        backbone: from :func:`nstjax.load_backbone`.
        config: the default is :data:`TEXTURE`; what it says of content, colours, strength
            and masks is not used.
        callback: as for :func:`nstjax.transfer`.
        shape: the proportions of height and width; the longer side is the config's.
        init_image: the start, for ``config.init == "image"``.
        resume: go on from here.

    Raises:
        InputError: as :func:`nstjax.transfer`, or the start is the content, which there is none of.
        TransferFailed: the loss became non-finite.
    """
    config = (config or TEXTURE).for_backbone(backbone)
    if config.init == "content":
        raise InputError("`init` content: a texture has no content; start from noise, style or an image")
    config = dataclasses.replace(config, objective=dataclasses.replace(config.objective, content_weight=0.0))
    record, sides = config.objective, config.pyramid()
    if min(shape) < 1:
        raise InputError(f"the texture's shape is {shape}: both must be 1 or more")
    if init_image is not None:
        init_image = check_image("initial", init_image)
    smallest = jnp.zeros((1, *fit_long_side(*shape, sides[0]), 3))
    regions = check_regions(style, smallest)
    if any(region.mask is not None for region in regions):
        raise InputError("a texture has no regions of its own: give its styles alone")
    check_layers(backbone, record.style_layers, "style_layers")
    network = Network(config, backbone)
    for image in (smallest, *(exemplar_at(s.image, sides[0], config) for r in regions for s in r.styles)):
        check_size(record.style_layers, image.shape[1], image.shape[2])

    def stage(side: int) -> Stage:
        blank = jnp.zeros((1, *fit_long_side(*shape, side), 3), jnp.float32)
        size = (blank.shape[1], blank.shape[2])
        targets = targets_at(network, regions, lambda image: exemplar_at(image, side, config), size)
        exemplar = regions[0].styles[0].image
        return Stage(
            network.loss(targets, size),
            size,
            lambda: first_image(config, blank, exemplar_at(exemplar, side, config), init_image),
        )

    return solve(config, stage, callback, resume)
