"""Spatial control: statistics of regions (Stanford poster; Gatys et al. 2017, arXiv 1611.07865, section 4)."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from nstjax.errors import InputError, one_of
from nstjax.linear import linear
from nstjax.losses.gram import cross_moments
from nstjax.typing import FeatureMap

CARRIES = ("average", "all", "inside")
Carry = Literal["average", "all", "inside"]
Masks = Float[Array, "k h w"]


def carry_down(masks: Masks, steps: Sequence[str], how: str = "average", least: float = 0.0) -> Masks:
    """Resample masks of an image to the grid of a layer.

    ============= =============================================================================
    ``average``   the mean over each cell of the grid: the share of the cell in the region, soft at borders
    ``all``       the maximum over each position's receptive field: 1 where the field touches the region
    ``inside``    the minimum over the receptive field: 1 where the field lies within the region. It keeps
                  positions that see both sides of a border out of both regions; named as in Gatys's code
    ============= =============================================================================

    A receptive field ends at the border of the image; what lies outside is ignored.

    ``inside`` may leave few positions or none of a thin region. With ``least``, it keeps at least that total
    weight: the result is ``I + λ(A − I)``, where ``I`` is ``inside``, ``A`` is ``average``, and λ in [0, 1]
    is the smallest factor for which the sum over positions reaches ``min(least, ΣA)``. The rule is the same
    for every mask, layer and size, and it is continuous: positions across the border get weight only as far
    as positions inside are missing.

    Args:
        masks: masks of the image that the network sees, ``(k, h, w)`` in [0, 1].
        steps: the operations up to the layer in order, each ``"conv"`` (3×3) or ``"pool"`` (2×2, which drops
            an odd last row or column), from :func:`nstjax.nn.vgg.steps_to`.
        how: a name in the table.
        least: for ``inside``, the smallest sum over positions of each mask; 0 keeps only positions inside.

    Returns:
        ``(k, h', w')`` in [0, 1], of the layer's size and a floating dtype.

    Raises:
        InputError: If the name is unknown, or the masks are not ``(k, h, w)``.
    """
    one_of("how", how, CARRIES)
    masks = jnp.asarray(masks)
    if masks.ndim != 3:
        raise InputError(f"the masks have shape {masks.shape}: they must be (k, h, w)")
    if not jnp.issubdtype(masks.dtype, jnp.floating):
        masks = masks.astype(jnp.float32)
    carried = _carried(masks, tuple(steps), how)
    if how == "inside" and least > 0:
        return _completed(carried, _carried(masks, tuple(steps), "average"), least)
    return carried


@jax.jit
def _completed(inside: Masks, average: Masks, least: float) -> Masks:
    """Add the smallest fraction of the positions across the border that gives the least total weight."""
    border = jnp.maximum(average - inside, 0.0)
    has, more = (x.sum((1, 2), keepdims=True) for x in (inside, border))
    factor = jnp.where(more > 0, (least - has) / jnp.where(more > 0, more, 1.0), 0.0)
    return inside + jnp.clip(factor, 0.0, 1.0) * border


@partial(jax.jit, static_argnums=(1, 2))
def _carried(x: Masks, steps: tuple[str, ...], how: str) -> Masks:
    """Resample masks by one of the rules of :func:`carry_down`, without ``least``."""
    for step in steps:
        k, h, w = x.shape
        if step == "pool":
            cells = x[:, : h // 2 * 2, : w // 2 * 2].reshape(k, h // 2, 2, w // 2, 2)
            if how == "average":
                x = cells.mean((2, 4))
            else:
                x = cells.max((2, 4)) if how == "all" else cells.min((2, 4))
        elif how != "average":
            start, reducer = (-jnp.inf, lax.max) if how == "all" else (jnp.inf, lax.min)
            x = lax.reduce_window(x, jnp.asarray(start, x.dtype), reducer, (1, 3, 3), (1, 1, 1), "SAME")
    return x


def _check(features: FeatureMap, masks: Masks) -> None:
    """Raise :class:`InputError` unless the masks have the shape of the features."""
    if masks.ndim != 3 or masks.shape[1:] != features.shape[1:3]:
        raise InputError(
            f"the masks have shape {masks.shape} where the features have {features.shape}: masks must be (k, h, w) of "
            f"the features' own grid"
        )


def guided_gram(features: FeatureMap, masks: Masks) -> Float[Array, "n k c c"]:
    """Compute the Gram matrix of each region, normalized by its positions: ``Σ_p m_p f_p f_p' / Σ_p m_p``.

    It is the Stanford poster's ``G(F(x_k))/N_{x_k}``, and eq. 5 of Gatys et al. 2017, whose guidance channels
    ``T`` multiply the features and are normalized to ``Σ T² = 1``. Here ``m`` is their ``T²``. Soft masks
    that sum to 1 at every position therefore divide the whole Gram matrix among the regions:
    ``Σ_k (Σ_p m_kp)·G_k = F'F``.

    Args:
        features: activations, ``(n, h, w, c)``.
        masks: ``(k, h, w)``, 0 or more, each with a positive sum. A position in several regions counts in
            each of them, and a position in none counts nowhere. A mask of ones gives
            ``gram_matrix(·, "positions")``.

    Returns:
        ``(n, k, c, c)``.

    Raises:
        InputError: If the masks do not have the shape of the features.
    """
    _check(features, masks)
    n, h, w, c = features.shape
    k = masks.shape[0]
    f = features.reshape(n, h * w, c)
    m = masks.reshape(k, h * w).astype(f.dtype)
    # One product for all regions: the left factor holds the weighted features of one region after another.
    left = (m.T[None, :, :, None] * f[:, :, None, :]).reshape(n, h * w, k * c)
    gram = jnp.einsum("npi,npj->nij", left, f, precision=lax.Precision.HIGHEST)
    return gram.reshape(n, k, c, c) / m.sum(1)[None, :, None, None]


def guided_sum(features: FeatureMap, masks: Masks) -> Float[Array, "n k c"]:
    """Compute the mean activation of each region, ``Σ_p m_p f_p / Σ_p m_p``.

    Gatys et al. 2017, section 4 ("guided sums"), stack ``T`` with the features, so that the Gram matrix of
    the stack contains ``F'T``. That is the mean computed here, times the region's share of the positions.

    Args:
        features: activations, ``(n, h, w, c)``.
        masks: ``(k, h, w)``, as for :func:`guided_gram`.

    Returns:
        ``(n, k, c)``.

    Raises:
        InputError: If the masks do not have the shape of the features.
    """
    _check(features, masks)
    n, h, w, c = features.shape
    m = masks.reshape(len(masks), h * w).astype(features.dtype)
    sums = jnp.einsum("kp,npc->nkc", m, features.reshape(n, h * w, c), precision=lax.Precision.HIGHEST)
    return sums / m.sum(1)[None, :, None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MaskPlan:
    """Masks as lists of positions. The cost of a region then depends on its own size, not on the image's.

    Attributes:
        rows: for each region, the indices of the positions inside it, ``(m_k,)``.
        weights: for each region, the values of its mask there, ``(m_k,)``.
        slots: for each position of the image, its indices in the concatenation of all lists, ``(h·w, r)``.
            ``r`` is the largest number of regions at a position, at least 1. Unused entries point one past
            the end.
    """

    rows: tuple[Array, ...]
    weights: tuple[Array, ...]
    slots: Array


def make_plan(masks: Masks) -> MaskPlan:
    """Return the plan of masks ``(k, h, w)``. It is computed on the host, once."""
    flat = np.asarray(masks).reshape(len(masks), -1)
    rows = [np.flatnonzero(mask) for mask in flat]
    total = sum(len(found) for found in rows)
    regions_of = (flat != 0).sum(0)
    slots = np.full((flat.shape[1], max(1, int(regions_of.max()))), total, np.int32)
    filled = np.zeros(flat.shape[1], np.int32)
    start = 0
    for found in rows:
        slots[found, filled[found]] = start + np.arange(len(found))
        filled[found] += 1
        start += len(found)
    return MaskPlan(
        tuple(jnp.asarray(found, jnp.int32) for found in rows),
        tuple(jnp.asarray(mask[found]) for mask, found in zip(flat, rows, strict=True)),
        jnp.asarray(slots),
    )


def _gather(slots: Array, *rows_and_f: Array) -> tuple[Array, ...]:
    """Return the rows of ``f`` inside each region."""
    *rows, f = rows_and_f
    return tuple(f[found] for found in rows)


def _gather_back(slots: Array, *rows_and_parts: Array) -> tuple[Array]:
    """Compute the transpose of :func:`_gather`, also by gathers.

    Automatic differentiation would produce a scatter, which is slow on a CPU.
    """
    parts = rows_and_parts[len(rows_and_parts) // 2 :]
    listed = jnp.concatenate([*parts, jnp.zeros((1, parts[0].shape[1]), parts[0].dtype)])
    gradient = listed[slots[:, 0]]
    for r in range(1, slots.shape[1]):
        gradient = gradient + listed[slots[:, r]]
    return (gradient,)


def _grams(
    f: Float[Array, "p c"], shift: Float[Array, "k c"] | None, plan: MaskPlan
) -> Float[Array, "k c c"]:
    """Compute the Gram matrix of each region for one image."""
    found = []
    parts = linear(_gather, _gather_back, (plan.slots, *plan.rows), (f,))
    for k, (inside, weights) in enumerate(zip(parts, plan.weights, strict=True)):
        w = weights.astype(f.dtype)
        inside = inside if shift is None else inside - shift[k]
        found.append(_weighted_moments(inside, w[:, None]) / w.sum())
    return jnp.stack(found)


@jax.custom_jvp
def _weighted_moments(f: Float[Array, "p c"], weights: Float[Array, "p 1"]) -> Float[Array, "c c"]:
    """Compute ``Σ_p w_p f_p f_p'``."""
    return jnp.matmul((weights * f).T, f, precision=lax.Precision.HIGHEST)


@_weighted_moments.defjvp
def _weighted_moments_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # One product for both factors, as in :func:`nstjax.losses.gram_matrix`. Masks are constants.
    f, weights = primals
    half = cross_moments(weights * f, tangents[0])
    return _weighted_moments(f, weights), half + half.T


def planned_gram(
    features: FeatureMap, plan: MaskPlan, shift: Float[Array, "n k c"] | None = None
) -> Float[Array, "n k c c"]:
    """Compute the Gram matrix of each region from a plan.

    The result equals that of :func:`guided_gram` to rounding. The cost depends on the number of positions
    inside the regions, not on the number of regions. Masks are constants: their derivative is taken to be 0.

    Args:
        features: activations, ``(n, h, w, c)``.
        plan: from :func:`make_plan`.
        shift: subtracted from the activations of each region first, ``(n, k, c)``.

    Returns:
        ``(n, k, c, c)``.
    """
    n, h, w, c = features.shape
    axes = (0, None if shift is None else 0, None)
    return jax.vmap(_grams, in_axes=axes)(features.reshape(n, h * w, c), shift, plan)
