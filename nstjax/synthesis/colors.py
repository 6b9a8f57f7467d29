"""Color control: the colors of the style or of the content image (Gatys et al. 2016, arXiv 1606.05897)."""

import dataclasses

import numpy as np

from nstjax.errors import InputError
from nstjax.images import color
from nstjax.images.masks import resize_mask
from nstjax.images.resize import resize
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.styles import Style, StyleRegion
from nstjax.typing import Images


def _mean(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    weights = np.ones(image.shape[1:3]) if mask is None else np.asarray(mask, np.float64)
    return np.einsum("hw,hwc->c", weights / weights.sum(), np.asarray(image[0], np.float64))


def prepare_colors(
    config: TransferConfig, content: Images, regions: tuple[StyleRegion, ...]
) -> tuple[Images, tuple[StyleRegion, ...]]:
    """Photograph and paintings as the network is to see them.

    With ``colors_of`` "style" a painting takes the colours of the photograph before anything else is done,
    or both are reduced to luminance. A region's painting is shifted to the mean colour of that region, but
    keeps the contrast matched to the whole photograph: matched to a clear sky alone, a painting would have
    no strokes left. One painting in two regions so becomes two.
    """
    if config.colors == "style" or config.colors_of == "result":
        return content, regions
    photo = np.asarray(content)
    grey = color.luminance(photo) if config.colors == "luminance" else photo

    def recolored(style: Style, region: StyleRegion) -> Style:
        painting = np.asarray(style.image)
        own, of_region = (
            None if mask is None else resize_mask(mask, *image.shape[1:3])
            for mask, image in ((style.mask, painting), (region.mask, photo))
        )
        try:
            if config.colors == "luminance":
                image = color.match_luminance(color.luminance(painting), grey, own)
            else:
                image = color.transfer_color(painting, photo, config.colors, own)
        except InputError as error:
            raise InputError(f"`colors` {config.colors} for {region.name}: {error}") from error
        if of_region is not None:
            shift = _mean(grey, of_region) - _mean(image, own)
            image = np.clip(image + shift, 0.0, 1.0).astype(np.float32)
        return dataclasses.replace(style, image=image)

    return grey, tuple(
        dataclasses.replace(region, styles=tuple(recolored(style, region) for style in region.styles))
        for region in regions
    )


def restore_colors(config: TransferConfig, content: Images, image: np.ndarray) -> np.ndarray:
    """The picture with the photograph's colours, where they are put on at the end.

    Args:
        config: its ``colors`` and ``colors_of``.
        content: the photograph as it was given, ``(1, h, w, 3)``.
        image: the picture, of any size.
    """
    if config.colors == "style" or (config.colors != "luminance" and config.colors_of == "style"):
        return image
    photo = np.asarray(resize(content, image.shape[1], image.shape[2])).clip(0, 1)
    if config.colors == "luminance":
        return color.combine(color.luminance(image), photo)
    return color.transfer_color(image, photo, config.colors)
