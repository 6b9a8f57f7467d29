"""Targets of the losses: activations of the content image, statistics of the style images by region."""

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
"""A mask on the grid of each layer, ``(h, w)`` in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class StyleFeatures:
    """A painting's activations, and which of its positions count.

    Attributes:
        features: by layer, ``(1, h, w, c)``.
        masks: by layer, ``(h, w)`` with a positive sum; none for all positions.
        weight: among the sources of a region; they are divided by their sum.
    """

    features: Features
    masks: LayerMasks | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class RegionFeatures:
    """A part of the picture, and the paintings that it is to look like.

    Attributes:
        sources: at least one.
        masks: of the picture, by layer, ``(h, w)`` with a positive sum; none for all of it.
        weight: factor on the region's loss, beside the poster's 1/K; with guided sums also on its share
            of the whole.
    """

    sources: tuple[StyleFeatures, ...]
    masks: LayerMasks | None = None
    weight: float = 1.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RegionTarget:
    """A region at one layer.

    Attributes:
        targets: a target for each painting, or one for their blend.
        weights: ``(j,)`` of the targets, with sum 1.
        factor: of the region.
        mask: ``(1, h, w)`` or none.
        plan: from :meth:`Points.plan`; None for statistics of means.
        statistic: what the targets are of.
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
        content: the content image's activations by layer, ``(1, h, w, c)``.
        style: by layer, one target for each region; with guided sums one for the whole comes first.
        plans: by layer, of the regions that have masks, in their order (without that of the whole).
        balance: factors on the terms ``"content"``, ``"style"`` and ``"tv"``; empty for 1 each.
    """

    content: Mapping[str, Array]
    style: Mapping[str, tuple[RegionTarget, ...]]
    plans: Mapping[str, MaskPlan] = dataclasses.field(default_factory=dict)
    balance: Mapping[str, Array] = dataclasses.field(default_factory=dict)


def _pooled(
    parts: Sequence[tuple[Array, Array | None, float]], raw: bool = False
) -> tuple[Array, Array | None]:
    """One map of the positions of several, ``(1, m, 1, c)``, and the share of each, ``(1, m, 1)``.

    Its statistics are those of the mixture of the parts: averages of their Gram matrices and means; ``raw``: of their
    Gram matrices not divided by positions.
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
    """``(1, h, w)``; none where all positions are inside: to the last bit the numbers of no mask."""
    if masks is None or bool((masks[layer] == 1).all()):
        return None
    mask = jnp.asarray(masks[layer], dtype)[None]
    if not bool(mask.sum() > 0):
        raise InputError(f"a region's mask is empty at {layer}: leave the region out, or enlarge its mask")
    return mask


def _share(mask: Array | None) -> float:
    return 1.0 if mask is None else float(mask.mean())


def _plan(statistic: Statistic, shape: tuple[int, int], mask: Array | None, layer: str) -> Array | None:
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
    """The targets of one layer; see :func:`nstjax.losses.make_targets`. ``raw``: the loss is ``raw_sum``."""
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
        raise InputError("the weights of the regions are all 0: give one of them a weight")
    for region, mask in zip(regions, masks, strict=True):
        total = sum(source.weight for source in region.sources)
        if not total > 0:
            raise InputError("the weights of a region's styles are all 0: give one of them a weight")
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
