"""Regions at one scale: masks carried down to every layer, paintings turned into activations."""

import warnings
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from nstjax.errors import InputError, InputWarning
from nstjax.images.masks import resize_mask
from nstjax.losses import Region, Source, carry_down
from nstjax.nn.vgg import steps_to
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.sources import StyleRegion
from nstjax.typing import Features

LEAST_POSITIONS = 16.0
"""Least total weight of a mask carried ``inside``, in positions of the layer: a mean over 16 has a quarter of the spread."""


def _empty(name: str, layer: str, shape: tuple[int, ...]) -> InputError:
    return InputError(
        f"{name} is empty at {layer} of {shape[1]}×{shape[0]} pixels: enlarge the mask, or choose other `scales`"
    )


def check_masks(
    regions: tuple[StyleRegion, ...],
    config: TransferConfig,
    arch: str,
    size_at: Callable[[int], tuple[int, int]],
    style_size_at: Callable[[jax.Array, int], tuple[int, int]],
) -> None:
    """Whether every mask has something left at every layer of every scale, before any work is done.

    Raises:
        InputError: one has not; an odd last row or column is dropped by each pooling.
    """
    cells = {layer: 2 ** steps_to(arch, layer).count("pool") for layer in config.objective.used_style_layers}
    for side in config.pyramid():
        for region in regions:
            masks = [(f"the mask of {region.name}", region.mask, size_at(side))]
            for style in region.styles:
                size = style_size_at(jnp.asarray(style.image), side)
                masks.append((f"the style mask of {region.name}", style.mask, size))
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
    """A mask ``(h, w)`` on the grid of each layer.

    ``inside`` keeps at least ``LEAST_POSITIONS`` positions, or as many as the mask covers; see
    :func:`nstjax.losses.carry_down`. A warning names the layers where positions inside are missing.

    Raises:
        InputError: the mask covers nothing of a layer.
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
    style_at: Callable[[jax.Array], jax.Array],
    apply: Callable[[jax.Array], Features],
) -> tuple[Region, ...]:
    """The regions' activations and masks at one scale.

    Args:
        regions: from :func:`nstjax.synthesis.sources.check_regions`.
        size: ``(height, width)`` of the picture.
        config: with its layers named.
        arch: of the network.
        style_at: a painting at this scale.
        apply: its activations at the style layers.
    """
    layers = config.objective.used_style_layers
    known: dict[int, tuple[jax.Array, Features]] = {}  # a painting may serve several regions
    found = []
    for region in regions:
        sources = []
        for style in region.styles:
            if id(style.image) not in known:
                image = style_at(jnp.asarray(style.image))
                known[id(style.image)] = image, apply(image)
            image, features = known[id(style.image)]
            masks = None
            if style.mask is not None:
                mask = jnp.asarray(resize_mask(style.mask, image.shape[1], image.shape[2]))
                masks = layer_masks(
                    mask, arch, layers, config.style_mask_carry, f"the style mask of {region.name}"
                )
            sources.append(Source(features, masks, style.weight))
        masks = None
        if region.mask is not None:
            mask = jnp.asarray(resize_mask(region.mask, *size))
            masks = layer_masks(mask, arch, layers, config.mask_carry, f"the mask of {region.name}")
        found.append(Region(tuple(sources), masks, region.weight))
    return tuple(found)
