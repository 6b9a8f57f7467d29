"""Calls the synthesis function of a job's command on its decoded images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nstjax.cli.checks import by_label, check_region_counts
from nstjax.cli.job import Arrangement, Job
from nstjax.cli.pictures import Pictures
from nstjax.errors import InputError
from nstjax.images.masks import Mask, read_masks, resize_mask
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
from nstjax.synthesis.solve import ProgressCallback
from nstjax.typing import Backbone, Images


def synthesise(
    job: Job,
    pictures: Pictures,
    backbone: Backbone,
    config: TransferConfig,
    interrupted: Callable[[Any], bool],
    callback: ProgressCallback,
    **how: Any,
) -> TransferResult:
    """Call :func:`nstjax.transfer`, :func:`nstjax.texture` or :func:`nstjax.reconstruct`.

    Args:
        job: the job; it determines the function and the arrangement of styles and masks.
        pictures: the decoded images.
        backbone: the feature network.
        config: the config, with all layers named.
        interrupted: function that returns True if the run should stop; called while a fine style is mixed.
        callback: called after every iteration.
        **how: further arguments of the synthesis function.

    Raises:
        InputError: If a mask cannot be read or is empty, or the numbers of masks and styles do not match.
        KeyboardInterrupt: If ``interrupted`` returned True while a fine style was mixed.
    """
    if job.command == "reconstruct":
        assert pictures.content is not None
        return reconstruct(pictures.content, backbone, config, callback, **how)
    arrangement = job.sources.arrangement
    styles = build_styles(arrangement, pictures.content, pictures.styles)
    if pictures.fine is not None:
        styles = _with_fine_style(styles, pictures, backbone, config, interrupted)
    if job.command == "texture":
        width, height = arrangement.proportions
        return texture(styles, backbone, config, callback, shape=(height, width), **how)  # type: ignore[arg-type]
    assert pictures.content is not None
    return transfer(pictures.content, styles, backbone, config, callback, **how)


def build_styles(
    arrangement: Arrangement, content: Images | None, paintings: Sequence[np.ndarray]
) -> list[Style] | list[StyleRegion]:
    """Return the styles of a run, or its regions if there are masks.

    Args:
        arrangement: masks, regions and shares.
        content: the photograph ``(1, h, w, 3)``; needed only if there are masks.
        paintings: the style images, ``(1, h, w, 3)`` each.

    Raises:
        InputError: If a mask cannot be read or is empty, or the numbers of masks and styles do not match.
    """
    weights = arrangement.style_weights or (1.0,) * len(paintings)
    if not arrangement.masks:
        specs = arrangement.style_masks
        masks = [_one(spec, image) for spec, image in zip(specs, paintings, strict=bool(specs))]
        return [Style(image, masks[i] if masks else None, weights[i]) for i, image in enumerate(paintings)]
    assert content is not None
    found = read_masks(arrangement.masks, np.asarray(content))
    check_region_counts(arrangement, len(paintings), len(found))
    if arrangement.style_regions:
        owners: list[list[int]] = [
            [i for i, region in enumerate(arrangement.style_regions) if region == k + 1]
            for k in range(len(found))
        ]
    else:
        owners = [[0] if len(paintings) == 1 else [k] for k in range(len(found))]
    return [
        StyleRegion(
            tuple(
                Style(paintings[i], _style_mask(arrangement, k, mask, paintings[i]), weights[i])
                for i in owners[k]
            ),
            mask.values,
            arrangement.region_weights[k] if arrangement.region_weights else 1.0,
            f"region {k + 1} ({mask.name})",
        )
        for k, mask in enumerate(found)
    ]


def _one(spec: str, image: np.ndarray) -> np.ndarray | None:
    """Return the mask of a spec, ``(h, w)``; None for ``all``.

    Raises:
        InputError: If the spec gives several masks.
    """
    if spec == "all":
        return None
    masks = read_masks([spec], image)
    if len(masks) != 1:
        raise InputError(f"{spec} has {len(masks)} regions where one is needed: name a color, FILE#RRGGBB")
    return masks[0].values


def _style_mask(arrangement: Arrangement, region: int, mask: Mask, painting: np.ndarray) -> np.ndarray | None:
    """Return the mask of a style image for a region; for label images, the mask with the region's color."""
    if not arrangement.style_masks:
        return None
    if not by_label(arrangement):
        return _one(arrangement.style_masks[region], painting)
    spec = arrangement.style_masks[0]
    if not mask.color:
        raise InputError(
            f"--style-masks {spec} needs --masks labels:FILE, whose colors its own are matched with"
        )
    for candidate in read_masks([spec], painting):
        if candidate.color == mask.color:
            return candidate.values
    raise InputError(
        f"--style-masks {spec} has no region for {mask.name}: paint a part of it in that color, #{mask.color}"
    )


def mixed_styles(
    pictures: Pictures, backbone: Backbone, config: TransferConfig, callback: Callable[[Any], bool]
) -> list[np.ndarray]:
    """Return the style images with their fine texture replaced by that of the fine style image.

    Args:
        pictures: the decoded images, with a fine style image.
        backbone: the feature network.
        config: the config, with all layers named.
        callback: function that returns True if the run should stop; called after every iteration.

    Raises:
        KeyboardInterrupt: If ``callback`` returns True at the end.
    """
    assert pictures.fine is not None
    size = config.style_size or round(config.pyramid()[-1] * config.style_scale)
    mixed = {
        id(image): mix_scales(image, pictures.fine, backbone, size, config=config, callback=callback)
        for image in pictures.styles
    }
    if callback(None):
        raise KeyboardInterrupt
    return [mixed[id(image)] for image in pictures.styles]


def _with_fine_style(
    styles: list[Style] | list[StyleRegion],
    pictures: Pictures,
    backbone: Backbone,
    config: TransferConfig,
    callback: Callable[[Any], bool],
) -> Any:
    """Return the styles with the images of :func:`mixed_styles`, and their masks resized to them.

    Raises:
        KeyboardInterrupt: If ``callback`` returns True at the end.
    """
    images = mixed_styles(pictures, backbone, config, callback)
    mixed = {id(image): new for image, new in zip(pictures.styles, images, strict=True)}

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
