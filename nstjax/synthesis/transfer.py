"""Neural style transfer by optimising one image (Gatys et al. 2016, arXiv 1508.06576), coarse to fine."""

import jax
import numpy as np

from nstjax.images.resize import fit_long_side
from nstjax.losses import Targets, balance
from nstjax.nn.vgg import check_layers, check_size
from nstjax.optim import ObjectiveFn
from nstjax.synthesis.colors import finish, prepare
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.network import Network
from nstjax.synthesis.pyramid import content_at, first_image, style_at, style_size_at
from nstjax.synthesis.regions import check_masks
from nstjax.synthesis.solve import Callback, Stage, TransferResult, TransferState, solve
from nstjax.synthesis.sources import Styles, check_image, check_regions
from nstjax.synthesis.targets import targets_at
from nstjax.typing import Backbone, Images


def transfer(
    content: Images,
    style: Styles,
    backbone: Backbone,
    config: TransferConfig | None = None,
    callback: Callback | None = None,
    *,
    init_image: Images | None = None,
    resume: TransferState | None = None,
) -> TransferResult:
    """Stylize a content image with one or more style images.

    Args:
        content: the photograph, ``(1, h, w, 3)`` in [0, 1], at its own size.
        style: the painting, likewise; or a :class:`Style`, a list of them to blend, or a list of
            :class:`StyleRegion`, each a mask of the photograph with paintings of its own.
        backbone: from :func:`nstjax.load_backbone`.
        config: the default is that of the preset ``default``.
        callback: called after every iteration; a true answer stops, with the image as it is.
        init_image: the start, for ``config.init == "image"``; of any size.
        resume: go on from here; content, style, weights and config must be those of the run it is of.

    Returns:
        A :class:`TransferResult`.

    Raises:
        InputError: a setting makes no sense, a layer is missing, an image is too small for a layer, a
            mask is empty.
        TransferFailed: the loss became non-finite; it carries the last good image.
    """
    config = (config or TransferConfig()).for_backbone(backbone)
    content = check_image("content", content)
    regions = check_regions(style, content)
    if init_image is not None:
        init_image = check_image("initial", init_image)
    record, sides = config.objective, config.pyramid()
    check_layers(backbone, record.content_layers, "content_layers")
    check_layers(backbone, record.style_layers, "style_layers")
    network = Network(config, backbone)
    height, width = content.shape[1:3]
    check_size(record.layers, *fit_long_side(height, width, sides[0]))
    for one in (s for region in regions for s in region.styles):
        check_size(record.used_style_layers, *style_size_at(one.image, sides[0], config), "a style")
    check_masks(
        regions,
        config,
        backbone.arch,
        lambda side: fit_long_side(height, width, side),
        lambda image, side: style_size_at(image, side, config),
    )
    photo = content
    content, regions = prepare(config, content, regions)

    def stage(side: int) -> Stage:
        here = content_at(content, side)
        height, width = here.shape[1:3]
        targets = targets_at(
            network, regions, lambda image: style_at(image, side, config), (height, width), here
        )

        def loss(targets: Targets) -> ObjectiveFn:
            return network.loss(targets, (height, width))

        if config.style_strength is not None:
            strength = config.style_strength
            weight = record.default_style_weight(backbone.layers, strength)
            targets = balance(record, loss, targets, here, strength, weight)

        def start() -> jax.Array:
            return first_image(config, here, style_at(regions[0].styles[0].image, side, config), init_image)

        factors = {kind: float(value) for kind, value in targets.balance.items()} or None
        return Stage(loss(targets), (height, width), start, factors)

    def colored(image: np.ndarray) -> np.ndarray:
        return finish(config, photo, image)

    return solve(config, stage, callback, resume, colored)
