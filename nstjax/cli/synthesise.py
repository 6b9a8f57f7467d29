"""From a job's pictures to the function of its command."""

import dataclasses
from collections.abc import Callable
from typing import Any

from nstjax.cli.commands import ReconstructOptions, TextureOptions
from nstjax.cli.jobs import Job
from nstjax.cli.pictures import Pictures
from nstjax.cli.regions import build_styles
from nstjax.images.masks import resize_mask
from nstjax.synthesis import (
    Style,
    StyleRegion,
    TransferConfig,
    TransferResult,
    mix_scales,
    reconstruct,
    texture,
    transfer,
)
from nstjax.synthesis.solve import Callback
from nstjax.typing import Backbone


def synthesise(
    job: Job,
    pictures: Pictures,
    backbone: Backbone,
    config: TransferConfig,
    interrupted: Callable[[Any], bool],
    callback: Callback,
    **how: Any,
) -> TransferResult:
    """The command's own function on the job's pictures."""
    options = job.options
    if isinstance(options, ReconstructOptions):
        assert pictures.content is not None
        return reconstruct(pictures.content, backbone, config, callback, **how)
    styles = build_styles(options, pictures.content, pictures.styles)
    if pictures.fine is not None:
        styles = _with_fine_style(styles, pictures, backbone, config, interrupted)
    if isinstance(options, TextureOptions):
        width, height = options.proportions
        return texture(styles, backbone, config, callback, shape=(height, width), **how)  # type: ignore[arg-type]
    assert pictures.content is not None
    return transfer(pictures.content, styles, backbone, config, callback, **how)


def _with_fine_style(
    styles: list[Style] | list[StyleRegion],
    pictures: Pictures,
    backbone: Backbone,
    config: TransferConfig,
    callback: Callable[[Any], bool],
) -> Any:
    """The styles with every painting's texture replaced; masks, which are of the paintings, are resized."""
    assert pictures.fine is not None
    size = config.style_size or round(config.pyramid()[-1] * config.style_scale)
    mixed = {
        id(image): mix_scales(image, pictures.fine, backbone, size, config=config, callback=callback)
        for image in pictures.styles
    }
    if callback(None):
        raise KeyboardInterrupt

    def replaced(style: Style) -> Style:
        image = mixed[id(style.image)]
        mask = None if style.mask is None else resize_mask(style.mask, image.shape[1], image.shape[2])
        return dataclasses.replace(style, image=image, mask=mask)

    return [
        replaced(one)
        if isinstance(one, Style)
        else dataclasses.replace(one, styles=tuple(replaced(style) for style in one.styles))
        for one in styles
    ]
