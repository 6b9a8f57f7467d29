"""What a picture is made from: paintings, their shares, and the regions that they are for."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError, InputWarning
from nstjax.pixels import check_floating, check_range
from nstjax.typing import Images


@dataclasses.dataclass(frozen=True)
class Style:
    """A painting.

    Attributes:
        image: ``(1, h, w, 3)`` in [0, 1], of any size.
        mask: ``(h, w)`` in [0, 1]: which part of it counts; none for all.
        weight: its share among the styles of a region; shares are divided by their sum.
    """

    image: Images
    mask: np.ndarray | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class StyleRegion:
    """A part of the picture and the paintings for it.

    Attributes:
        styles: at least one.
        mask: ``(h, w)`` in [0, 1] of the photograph; none for all of it. A pixel in several regions is
            painted by all of them, one in none has no style.
        weight: factor on the region's style loss.
        name: for messages.
    """

    styles: tuple[Style, ...]
    mask: np.ndarray | None = None
    weight: float = 1.0
    name: str = ""


Styles: TypeAlias = Images | Style | Sequence[Style] | Sequence[StyleRegion]
"""One painting, several blended, or regions with their own."""


def check_image(name: str, image: Any) -> jax.Array:
    """An image as float32.

    Raises:
        InputError: it is not ``(1, height, width, 3)``, of a floating type, finite, and about in [0, 1].
    """
    check_floating(f"{name} image", image)
    array = np.asarray(image, np.float32)  # on the host, where this needs no program compiled
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[3] != 3 or 0 in array.shape:
        raise InputError(f"the {name} image has shape {array.shape}: it must be (1, height, width, 3)")
    if not np.isfinite(array).all():
        raise InputError(f"the {name} image holds values that are not finite: check where it comes from")
    check_range(f"{name} image", array)
    return jnp.asarray(array)


def _check_mask(name: str, mask: Any, image: jax.Array) -> np.ndarray | None:
    if mask is None:
        return None
    array = np.asarray(mask, np.float32)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}: it must be (height, width)")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise InputError(f"{name} has values outside [0, 1]: scale it to [0, 1]")
    if not array.any():
        raise InputError(f"{name} is empty: no pixel of the image is inside; paint some of it white")
    if array.shape != image.shape[1:3]:
        warnings.warn(
            f"{name} has {array.shape[1]}×{array.shape[0]} pixels and its image {image.shape[2]}×{image.shape[1]}: "
            f"it was resized",
            InputWarning,
            stacklevel=2,
        )
    return array


def check_regions(style: Styles, content: jax.Array) -> tuple[StyleRegion, ...]:
    """Any form of styles as regions, checked.

    Raises:
        InputError: there is none, an image or a mask has a wrong shape or values, a mask is empty, or
            weights are negative or add up to nothing.
    """
    given: list[Any] = list(style) if isinstance(style, list | tuple) else [style]
    if not given:
        raise InputError("there is no style: give one image at least")
    of_regions = [isinstance(one, StyleRegion) for one in given]
    if any(of_regions) and not all(of_regions):
        raise InputError("styles and regions are mixed: give every style a StyleRegion, or none")
    if not of_regions[0]:
        given = [StyleRegion(tuple(one if isinstance(one, Style) else Style(one) for one in given))]
    regions: tuple[StyleRegion, ...] = tuple(given)
    # One array for a painting that is named twice: its activations are then computed once.
    images: dict[int, jax.Array] = {}
    checked = []
    for number, region in enumerate(regions, start=1):
        name = region.name or f"region {number}"
        if not isinstance(region.styles, list | tuple) or any(
            not isinstance(s, Style) for s in region.styles
        ):
            raise InputError(
                f"the styles of {name} are {type(region.styles).__name__}: give a tuple of Style"
            )
        weights = (region.weight, *(s.weight for s in region.styles))
        if not region.styles or any(not 0 <= weight < float("inf") for weight in weights):
            raise InputError(f"{name} has no style, or a weight that is not a finite number of 0 or more")
        if not sum(s.weight for s in region.styles) > 0:
            raise InputError(f"the style weights of {name} are all 0: give one of its styles a weight")
        styles = []
        for s in region.styles:
            image = images.setdefault(id(s.image), check_image("style", s.image))
            styles.append(Style(image, _check_mask(f"the style mask of {name}", s.mask, image), s.weight))
        mask = _check_mask(f"the mask of {name}", region.mask, content)
        checked.append(StyleRegion(tuple(styles), mask, region.weight, name))
    return tuple(checked)
