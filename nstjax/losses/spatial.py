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
    """Masks of an image on the grid of a layer.

    ============= =============================================================================
    ``average``   pooled by the mean: the share of each cell of the grid that is inside; soft at borders
    ``all``       the largest value within a position's receptive field: 1 where it touches the region
    ``inside``    the smallest there: 1 where it lies within; Gatys's code, whose name this is, so keeps
                  positions that see both sides of a border out of both regions
    ============= =============================================================================

    A receptive field ends at the image's border: what is outside counts for neither.

    ``inside`` may leave a thin region few positions, or none. With ``least``, it keeps at least that total weight:
    the result is ``I + λ(A − I)``, where ``I`` is ``inside``, ``A`` is ``average``, and λ in [0, 1] is the smallest
    factor for which the sum over positions reaches ``min(least, ΣA)``. The rule is the same for every mask, layer
    and size, and continuous: positions across the border get a weight only as far as positions inside are missing.

    Args:
        masks: ``(k, h, w)`` in [0, 1], of the image that the network sees.
        steps: the operations up to the layer in order, each ``"conv"`` (3×3) or ``"pool"`` (2×2, an odd
            last row or column dropped), as :func:`nstjax.nn.vgg.steps_to` gives them.
        how: a name of the table.
        least: for ``inside``, the least sum over positions of each mask; 0 keeps strictly to the inside.

    Returns:
        ``(k, h', w')`` in [0, 1], of the layer's size, floating.

    Raises:
        InputError: an unknown name, or masks that are not ``(k, h, w)``.
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
    border = jnp.maximum(average - inside, 0.0)
    has, more = (x.sum((1, 2), keepdims=True) for x in (inside, border))
    factor = jnp.where(more > 0, (least - has) / jnp.where(more > 0, more, 1.0), 0.0)
    return inside + jnp.clip(factor, 0.0, 1.0) * border


@partial(jax.jit, static_argnums=(1, 2))
def _carried(x: Masks, steps: tuple[str, ...], how: str) -> Masks:
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
    if masks.ndim != 3 or masks.shape[1:] != features.shape[1:3]:
        raise InputError(
            f"the masks have shape {masks.shape} where the features have {features.shape}: masks must be (k, h, w) of "
            f"the features' own grid"
        )


def guided_gram(features: FeatureMap, masks: Masks) -> Float[Array, "n k c c"]:
    """The Gram matrix of each region, over its positions: ``Σ_p m_p f_p f_p' / Σ_p m_p``.

    The poster's ``G(F(x_k))/N_{x_k}``, and Gatys et al. 2017, eq. 5, whose guidance channels ``T``
    multiply the features and are normalised to ``Σ T² = 1``: ``m`` here is their ``T²``, so that soft
    masks that sum to 1 at every position share the whole Gram matrix among them:
    ``Σ_k (Σ_p m_kp)·G_k = F'F``.

    Args:
        features: ``(n, h, w, c)``.
        masks: ``(k, h, w)``, ≥ 0, each with a positive sum. A position in several regions counts in each,
            one in none counts nowhere; a mask of ones gives ``gram_matrix(·, "positions")``.

    Returns:
        ``(n, k, c, c)``.

    Raises:
        InputError: shapes that do not fit.
    """
    _check(features, masks)
    n, h, w, c = features.shape
    k = masks.shape[0]
    f = features.reshape(n, h * w, c)
    m = masks.reshape(k, h * w).astype(f.dtype)
    # One product for all regions; rows of the left factor are features of one region after another.
    left = (m.T[None, :, :, None] * f[:, :, None, :]).reshape(n, h * w, k * c)
    gram = jnp.einsum("npi,npj->nij", left, f, precision=lax.Precision.HIGHEST)
    return gram.reshape(n, k, c, c) / m.sum(1)[None, :, None, None]


def guided_sum(features: FeatureMap, masks: Masks) -> Float[Array, "n k c"]:
    """The mean activation of each region, ``Σ_p m_p f_p / Σ_p m_p``.

    Gatys et al. 2017, section 4 ("guided sums"), stack ``T`` with the features, so that the Gram matrix
    of the stack holds ``F'T``; those are these means times the region's share of the positions.

    Args:
        features: ``(n, h, w, c)``.
        masks: ``(k, h, w)``, as for :func:`guided_gram`.

    Returns:
        ``(n, k, c)``.

    Raises:
        InputError: shapes that do not fit.
    """
    _check(features, masks)
    n, h, w, c = features.shape
    m = masks.reshape(len(masks), h * w).astype(features.dtype)
    sums = jnp.einsum("kp,npc->nkc", m, features.reshape(n, h * w, c), precision=lax.Precision.HIGHEST)
    return sums / m.sum(1)[None, :, None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MaskPlan:
    """Masks as lists of positions, so that a region costs what it covers, not what the image does.

    Attributes:
        rows: for each region the positions inside, ``(m_k,)``.
        weights: the mask there, ``(m_k,)``.
        slots: for each position where it stands in all the lists laid end to end, ``(h·w, r)`` with ``r``
            the most regions that a position is in; unused ones point one past the end.
    """

    rows: tuple[Array, ...]
    weights: tuple[Array, ...]
    slots: Array


def make_plan(masks: Masks) -> MaskPlan:
    """The plan of masks ``(k, h, w)``; made once, on the host."""
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
    *rows, f = rows_and_f
    return tuple(f[found] for found in rows)


def _gather_back(slots: Array, *rows_and_parts: Array) -> tuple[Array]:
    """By gathers too: the scatter that automatic differentiation would make is slow on a CPU."""
    parts = rows_and_parts[len(rows_and_parts) // 2 :]
    listed = jnp.concatenate([*parts, jnp.zeros((1, parts[0].shape[1]), parts[0].dtype)])
    gradient = listed[slots[:, 0]]
    for r in range(1, slots.shape[1]):
        gradient = gradient + listed[slots[:, r]]
    return (gradient,)


def _grams(
    f: Float[Array, "p c"], shift: Float[Array, "k c"] | None, plan: MaskPlan
) -> Float[Array, "k c c"]:
    found = []
    parts = linear(_gather, _gather_back, (plan.slots, *plan.rows), (f,))
    for k, (inside, weights) in enumerate(zip(parts, plan.weights, strict=True)):
        w = weights.astype(f.dtype)
        inside = inside if shift is None else inside - shift[k]
        found.append(_weighted_moments(inside, w[:, None]) / w.sum())
    return jnp.stack(found)


@jax.custom_jvp
def _weighted_moments(f: Float[Array, "p c"], weights: Float[Array, "p 1"]) -> Float[Array, "c c"]:
    return jnp.matmul((weights * f).T, f, precision=lax.Precision.HIGHEST)


@_weighted_moments.defjvp
def _weighted_moments_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # One product for both factors, as for the Gram matrix of the whole; masks are constants.
    f, weights = primals
    half = cross_moments(weights * f, tangents[0])
    return _weighted_moments(f, weights), half + half.T


def planned_gram(
    features: FeatureMap, plan: MaskPlan, shift: Float[Array, "n k c"] | None = None
) -> Float[Array, "n k c c"]:
    """:func:`guided_gram` by a plan: the same to rounding, at a cost that does not grow with the regions.

    Masks are constants: their derivative is taken to be 0.

    Args:
        features: ``(n, h, w, c)``.
        plan: from :func:`make_plan`.
        shift: subtracted from each region's features first, ``(n, k, c)``.

    Returns:
        ``(n, k, c, c)``.
    """
    n, h, w, c = features.shape
    axes = (0, None if shift is None else 0, None)
    return jax.vmap(_grams, in_axes=axes)(features.reshape(n, h * w, c), shift, plan)
