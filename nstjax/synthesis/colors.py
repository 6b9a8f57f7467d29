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
    """Return the mean color of an image inside a mask, ``(3,)``."""
    weights = np.ones(image.shape[1:3]) if mask is None else np.asarray(mask, np.float64)
    return np.einsum("hw,hwc->c", weights / weights.sum(), np.asarray(image[0], np.float64))


def prepare_colors(
    config: TransferConfig, content: Images, regions: tuple[StyleRegion, ...]
) -> tuple[Images, tuple[StyleRegion, ...]]:
    """Return the content image and the regions with the colors that the network sees.

    With ``colors_of`` "style", style images take the colors of the content image before the optimization, or
    all images are reduced to their luminance. The style image of a region with a mask is also shifted to the
    mean color of that region. Its contrast stays matched to the whole content image: matched to a clear sky
    alone, a style image would keep no brushstrokes. One style image in two regions therefore becomes two.

    Args:
        config: the config; its ``colors`` and ``colors_of`` are used.
        content: the content image, ``(1, h, w, 3)`` in [0, 1].
        regions: from :func:`nstjax.synthesis.styles.check_regions`.

    Returns:
        The content image and the regions, unchanged if ``colors`` is "style" or ``colors_of`` is "result".

    Raises:
        InputError: If the colors cannot be transferred.
    """
    if config.colors == "style" or config.colors_of == "result":
        return content, regions
    photo = np.asarray(content)
    gray = color.luminance(photo) if config.colors == "luminance" else photo

    def recolored(style: Style, region: StyleRegion) -> Style:
        painting = np.asarray(style.image)
        own, of_region = (
            None if mask is None else resize_mask(mask, *image.shape[1:3])
            for mask, image in ((style.mask, painting), (region.mask, photo))
        )
        try:
            if config.colors == "luminance":
                image = color.match_luminance(color.luminance(painting), gray, own)
            else:
                image = color.transfer_color(painting, photo, config.colors, own)
        except InputError as error:
            raise InputError(f"`colors` {config.colors} for {region.name}: {error}") from error
        if of_region is not None:
            shift = _mean(gray, of_region) - _mean(image, own)
            image = np.clip(image + shift, 0.0, 1.0).astype(np.float32)
        return dataclasses.replace(style, image=image)

    return gray, tuple(
        dataclasses.replace(region, styles=tuple(recolored(style, region) for style in region.styles))
        for region in regions
    )


def restore_colors(config: TransferConfig, content: Images, image: np.ndarray) -> np.ndarray:
    """Give the output image the colors of the content image, if the config applies them at the end.

    Args:
        config: the config; its ``colors`` and ``colors_of`` are used.
        content: the original content image, ``(1, h, w, 3)``.
        image: the output image, ``(1, h', w', 3)`` of any size.

    Returns:
        An image of the size of ``image``; ``image`` itself if the config asks for nothing here.
    """
    if config.colors == "style" or (config.colors != "luminance" and config.colors_of == "style"):
        return image
    photo = np.asarray(resize(content, image.shape[1], image.shape[2])).clip(0, 1)
    if config.colors == "luminance":
        return color.combine(color.luminance(image), photo)
    return color.transfer_color(image, photo, config.colors)
