"""Targets of the losses: content activations, and style statistics by region."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from nstjax.errors import InputError
from nstjax.losses.spatial import MaskPlan
from nstjax.losses.statistics import Description, Gram, Linear, Points, Statistic, make_target
from nstjax.typing import Features

LayerMasks: TypeAlias = Mapping[str, Array]
"""A mask on the grid of each layer, ``(h, w)`` in [0, 1], by layer name."""


@dataclasses.dataclass(frozen=True)
class StyleFeatures:
    """Activations of a style image, and a mask of the positions that count.

    Attributes:
        features: activations by layer, ``(1, h, w, c)``.
        masks: masks by layer, ``(h, w)`` with a positive sum, or None for all positions.
        weight: weight among the sources of a region. Weights are divided by their sum.
    """

    features: Features
    masks: LayerMasks | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class RegionFeatures:
    """A region of the output image, and the style images for it.

    Attributes:
        sources: the style images, at least one.
        masks: masks of the output image by layer, ``(h, w)`` with a positive sum, or None for the whole
            image.
        weight: factor on the region's loss, in addition to the factor 1/K for K regions of the Stanford
            poster. With guided sums it is also a factor on the region's share of the whole image's target.
    """

    sources: tuple[StyleFeatures, ...]
    masks: LayerMasks | None = None
    weight: float = 1.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RegionTarget:
    """The target of a region at one layer.

    Attributes:
        targets: one target for each style image, or a single one for their blend.
        weights: weights of the targets, ``(j,)``, with the sum 1.
        factor: factor on the region's loss, a scalar.
        mask: ``(1, h, w)``, or None for all positions.
        plan: from :meth:`Points.plan`; None for statistics that extend :class:`Means`.
        statistic: the statistic that the targets belong to.
    """

    targets: tuple[Description, ...]
    weights: Array
    factor: Array
    mask: Array | None = None
    plan: Array | None = None
    statistic: Statistic = dataclasses.field(default_factory=Gram, metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Targets:
    """The targets of all losses.

    Attributes:
        content: activations of the content image by layer, ``(1, h, w, c)``.
        style: by layer, one target for each region. With guided sums, a target of the whole image comes
            first.
        plans: by layer, the plan of all masks in ``style``, in their order. A layer has one only if it has
            masks and all its targets have the objective's own statistic, one that extends :class:`Means`.
        balance: factors on the terms ``"content"``, ``"style"`` and ``"tv"``, scalars; empty for 1 each.
    """

    content: Mapping[str, Array]
    style: Mapping[str, tuple[RegionTarget, ...]]
    plans: Mapping[str, MaskPlan] = dataclasses.field(default_factory=dict)
    balance: Mapping[str, Array] = dataclasses.field(default_factory=dict)


def _pooled(
    parts: Sequence[tuple[Array, Array | None, float]], raw: bool = False
) -> tuple[Array, Array | None]:
    """Concatenate the positions of several activation maps.

    The statistics of the result are those of the mixture of the parts: weighted averages of their Gram
    matrices and means. A single part is returned unchanged.

    Args:
        parts: activations ``(1, h, w, c)``, mask ``(1, h, w)`` or None, and weight of each part.
        raw: average the Gram matrices that are not divided by positions.

    Returns:
        The activations, ``(1, m, 1, c)``, and the share of each position, ``(1, m, 1)``.
    """
    if len(parts) == 1:
        return parts[0][0], parts[0][1]
    points, shares = [], []
    for features, mask, weight in parts:
        count = features.shape[1] * features.shape[2]
        points.append(features.reshape(1, count, 1, -1))
        inside = jnp.ones(count) if mask is None else mask.ravel()
        shares.append(weight * (inside if raw else inside / inside.sum()).astype(features.dtype))
    return jnp.concatenate(points, 1), jnp.concatenate(shares)[None, :, None]


def _mask_at(masks: LayerMasks | None, layer: str, dtype: Any) -> Array | None:
    """Return the mask at a layer, ``(1, h, w)``, or None if all of it is 1.

    A mask of ones and no mask then give bit-identical results.

    Raises:
        InputError: If the mask is empty.
    """
    if masks is None or bool((masks[layer] == 1).all()):
        return None
    mask = jnp.asarray(masks[layer], dtype)[None]
    if not bool(mask.sum() > 0):
        raise InputError(f"a region's mask is empty at {layer}: leave the region out, or enlarge its mask")
    return mask


def _share(mask: Array | None) -> float:
    """Return the fraction of the image that a mask covers."""
    return 1.0 if mask is None else float(mask.mean())


def _plan(statistic: Statistic, shape: tuple[int, int], mask: Array | None, layer: str) -> Array | None:
    """Return the plan of a statistic that extends :class:`Points`; None for other statistics."""
    if not isinstance(statistic, Points):
        return None
    return statistic.plan(shape, None if mask is None else np.asarray(mask)[0], layer)


def layer_targets(
    statistic: Statistic,
    guidance: str,
    blend: str,
    layer: str,
    regions: Sequence[RegionFeatures],
    shape: tuple[int, int],
    raw: bool = False,
) -> tuple[RegionTarget, ...]:
    """Compute the targets of one layer; see :func:`nstjax.losses.make_targets`.

    Args:
        statistic: the style statistic of the objective.
        guidance: ``"gram"`` for the statistic of each region, or ``"sums"`` for mean activations of each
            region and one statistic of the whole image.
        blend: ``"losses"`` for one target per style image, or ``"statistics"`` for one target of their
            mixture.
        layer: name of the layer.
        regions: the regions with their style images.
        shape: rows and columns of the output image at this layer.
        raw: True if the style loss is ``raw_sum``.

    Returns:
        One target for each region. With guided sums and at least one mask, a target of the whole image comes
        first.

    Raises:
        InputError: If a mask is empty or does not have the shape of the layer, or the weights of all regions, or
            of all style images of a region, are 0.
    """
    dtype = regions[0].sources[0].features[layer].dtype
    masks = [_mask_at(region.masks, layer, dtype) for region in regions]
    for mask in masks:
        if mask is not None and mask.shape[1:] != shape:
            raise InputError(f"a mask has shape {mask.shape[1:]} at {layer}, where the picture has {shape}")
    sums = guidance == "sums" and any(mask is not None for mask in masks)
    by_region = Linear() if sums else statistic
    whole: list[tuple[Array, Array | None, float]] = []
    found: list[RegionTarget] = []
    area = sum(region.weight * _share(mask) for region, mask in zip(regions, masks, strict=True))
    if not area > 0:
        raise InputError("the weights of the regions are all 0: at least one must be greater than 0")
    for region, mask in zip(regions, masks, strict=True):
        total = sum(source.weight for source in region.sources)
        if not total > 0:
            raise InputError(
                "the weights of a region's styles are all 0: at least one must be greater than 0"
            )
        parts = [
            (source.features[layer], _mask_at(source.masks, layer, dtype), source.weight / total)
            for source in region.sources
        ]
        whole += [(f, m, w * region.weight * _share(mask) / area) for f, m, w in parts]
        groups = [parts] if blend == "statistics" else [[part] for part in parts]
        found.append(
            RegionTarget(
                tuple(make_target(by_region, *_pooled(group, raw)) for group in groups),
                jnp.asarray([sum(part[2] for part in group) for group in groups], dtype),
                jnp.asarray(region.weight / len(regions), dtype),
                mask,
                _plan(by_region, shape, mask, layer),
                by_region,
            )
        )
    if sums:
        one = jnp.ones((), dtype)
        cover = jnp.zeros((1, *shape), dtype)
        for region, mask in zip(regions, masks, strict=True):
            cover = cover + region.weight * (1.0 if mask is None else mask)
        target = make_target(statistic, *_pooled(whole, raw))
        plan = _plan(statistic, shape, cover, layer)
        found.insert(0, RegionTarget((target,), one[None], one, cover, plan, statistic))
    return tuple(found)
