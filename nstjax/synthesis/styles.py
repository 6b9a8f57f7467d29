"""Styles and regions given by the caller, and their activations and masks at one scale."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError, InputWarning
from nstjax.images.masks import resize_mask
from nstjax.losses import RegionFeatures, StyleFeatures, carry_down
from nstjax.nn.vgg import steps_to
from nstjax.pixels import check_image
from nstjax.synthesis.config import TransferConfig
from nstjax.typing import Features, Images

LEAST_POSITIONS = 16.0
"""Smallest total weight, in positions of the layer, of a mask that is resampled by ``inside``.

The standard deviation of a mean over 16 positions is a quarter of that of one position.
"""


@dataclasses.dataclass(frozen=True)
class Style:
    """A style image, with a mask and a weight.

    Attributes:
        image: ``(1, h, w, 3)`` in [0, 1], of any size.
        mask: the part of the image to use, ``(h, w)`` in [0, 1], or None for the whole image. A mask of
            another size is resized with a warning.
        weight: weight among the styles of a region. Weights are divided by their sum.
    """

    image: Images
    mask: np.ndarray | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class StyleRegion:
    """A region of the output image, and the styles for it.

    Attributes:
        styles: at least one.
        mask: ``(h, w)`` in [0, 1] over the content image, or None for the whole image. A pixel in several
            regions gets the styles of all of them; a pixel in none gets no style.
        weight: factor on the region's style loss.
        name: name in messages.
    """

    styles: tuple[Style, ...]
    mask: np.ndarray | None = None
    weight: float = 1.0
    name: str = ""


Styles: TypeAlias = Images | Style | Sequence[Style] | Sequence[StyleRegion]
"""One style image, several to blend, or regions with their own style images."""


def _check_mask(name: str, mask: Any, size: tuple[int, int]) -> np.ndarray | None:
    """Check a mask and return it as float32, with a warning if it does not have the size of its image."""
    if mask is None:
        return None
    array = np.asarray(mask, np.float32)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}: it must be (height, width)")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise InputError(f"{name} has values outside [0, 1]: scale it to [0, 1]")
    if not array.any():
        raise InputError(f"{name} is empty: no pixel of the image is inside; paint some of it white")
    if array.shape != size:
        warnings.warn(
            f"{name} has {array.shape[1]}×{array.shape[0]} pixels and its image {size[1]}×{size[0]}: "
            f"it was resized",
            InputWarning,
            stacklevel=2,
        )
    return array


def check_regions(style: Styles, shape: tuple[int, int]) -> tuple[StyleRegion, ...]:
    """Check styles in any of their forms and return them as regions.

    Args:
        style: as for :func:`nstjax.transfer`.
        shape: height and width of the content image.

    Returns:
        One region or more, with float32 images and masks.

    Raises:
        InputError: If there is no style, an image or a mask has a wrong shape or wrong values, a mask is empty,
            a weight is negative or not finite, or the style weights of a region are all 0.
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
    # One array for a style image that is given twice, so that its activations are computed once.
    images: dict[int, np.ndarray] = {}
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
            image = images.setdefault(id(s.image), check_image("style image", s.image))
            styles.append(
                Style(
                    image,
                    _check_mask(f"the style mask of {name}", s.mask, (image.shape[1], image.shape[2])),
                    s.weight,
                )
            )
        mask = _check_mask(f"the mask of {name}", region.mask, shape)
        checked.append(StyleRegion(tuple(styles), mask, region.weight, name))
    return tuple(checked)


def _empty(name: str, layer: str, shape: tuple[int, ...]) -> InputError:
    """Return the error for a mask that covers nothing of a layer."""
    return InputError(
        f"{name} is empty at {layer} of {shape[1]}×{shape[0]} pixels: enlarge the mask, or choose other `scales`"
    )


def check_masks(
    regions: tuple[StyleRegion, ...],
    config: TransferConfig,
    arch: str,
    sizes: Mapping[int, tuple[int, int]],
    style_size: Callable[[Images, int], tuple[int, int]],
) -> None:
    """Check, before any computation, that every mask covers a part of every layer at every scale.

    Args:
        regions: from :func:`check_regions`.
        config: the config, with its layers named.
        arch: architecture of the network.
        sizes: ``(height, width)`` of the output image, by its longer side.
        style_size: returns ``(height, width)`` of a style image, given the image and the longer side of the
            output image.

    Raises:
        InputError: If a mask covers nothing of a layer. Each pooling drops an odd last row or column.
    """
    cells = {layer: 2 ** steps_to(arch, layer).count("pool") for layer in config.objective.used_style_layers}
    for side, of_picture in sizes.items():
        for region in regions:
            masks = [(f"the mask of {region.name}", region.mask, of_picture)]
            for style in region.styles:
                masks.append((f"the style mask of {region.name}", style.mask, style_size(style.image, side)))
            for name, mask, (height, width) in masks:
                if mask is None:
                    continue
                resized = resize_mask(mask, height, width)
                for layer, cell in cells.items():
                    if not resized[: height // cell * cell, : width // cell * cell].any():
                        raise _empty(name, layer, (height, width))


def layer_masks(
    mask: jax.Array, arch: str, layers: tuple[str, ...], carry: str, name: str
) -> Mapping[str, jax.Array]:
    """Resample a mask to the grid of each layer.

    ``inside`` keeps at least ``LEAST_POSITIONS`` positions, or as many as the mask covers; see
    :func:`nstjax.losses.carry_down`. A warning names the layers at which too few positions are inside.

    Args:
        mask: ``(h, w)`` in [0, 1].
        arch: architecture of the network.
        layers: names of the layers.
        carry: ``"average"``, ``"all"`` or ``"inside"``.
        name: name of the mask in messages.

    Returns:
        Masks by layer.

    Raises:
        InputError: If the mask covers nothing of a layer.
    """
    found, few = {}, []
    for layer in layers:
        steps = steps_to(arch, layer)
        carried = carry_down(mask[None], steps, carry)[0]
        if carry == "inside" and float(carried.sum()) < LEAST_POSITIONS:
            few.append(layer)
            carried = carry_down(mask[None], steps, carry, LEAST_POSITIONS)[0]
        if not float(carried.sum()) > 0:
            raise _empty(name, layer, mask.shape)
        found[layer] = carried
    if few:
        warnings.warn(
            f"{name} has fewer than {LEAST_POSITIONS:.0f} positions inside at {', '.join(few)} of "
            f"{mask.shape[1]}×{mask.shape[0]} pixels: positions across its border are added there; enlarge the mask or "
            f"the scale to avoid it",
            InputWarning,
            stacklevel=2,
        )
    return found


def regions_at(
    regions: tuple[StyleRegion, ...],
    size: tuple[int, int],
    config: TransferConfig,
    arch: str,
    style_at: Callable[[Images], Images],
    apply: Callable[[Images], Features],
) -> tuple[RegionFeatures, ...]:
    """Compute the activations and masks of the regions at one scale.

    Args:
        regions: from :func:`check_regions`.
        size: ``(height, width)`` of the output image.
        config: the config, with its layers named.
        arch: architecture of the network.
        style_at: returns a style image at the size for this scale.
        apply: returns the activations of an image at the style layers.

    Returns:
        The regions with activations and layer masks. Each style image is evaluated once.

    Raises:
        InputError: If a mask covers nothing of a layer.
    """
    layers = config.objective.used_style_layers
    known: dict[int, tuple[Images, Features]] = {}  # several regions may have the same style image
    found = []
    for region in regions:
        sources = []
        for style in region.styles:
            if id(style.image) not in known:
                image = style_at(style.image)
                known[id(style.image)] = image, apply(image)
            image, features = known[id(style.image)]
            masks = None
            if style.mask is not None:
                mask = jnp.asarray(resize_mask(style.mask, image.shape[1], image.shape[2]))
                masks = layer_masks(
                    mask, arch, layers, config.style_mask_carry, f"the style mask of {region.name}"
                )
            sources.append(StyleFeatures(features, masks, style.weight))
        masks = None
        if region.mask is not None:
            mask = jnp.asarray(resize_mask(region.mask, *size))
            masks = layer_masks(mask, arch, layers, config.mask_carry, f"the mask of {region.name}")
        found.append(RegionFeatures(tuple(sources), masks, region.weight))
    return tuple(found)
