"""Averages over the positions of an image or of regions, computed at once or in parts."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from nstjax.errors import InputError
from nstjax.losses.gram import gram_matrix
from nstjax.losses.spatial import MaskPlan, Masks, guided_gram, guided_sum, planned_gram
from nstjax.losses.statistics.base import Description, Means, Points, Statistic
from nstjax.typing import FeatureMap


def _name(name: str, index: int) -> str:
    """Return the name of an average of map number ``index``; the first map has no number."""
    return f"{name}{index or ''}"


def _mean(x: FeatureMap, masks: Masks | None) -> Array:
    """Compute the mean of each region, ``(n, k, c)``."""
    n, h, w, c = x.shape
    return x.reshape(n, 1, h * w, c).mean(2) if masks is None else guided_sum(x, masks)


def _gram(
    x: FeatureMap, masks: Masks | None, plan: MaskPlan | None = None, shift: Array | None = None
) -> Array:
    """Compute the Gram matrix of each region, ``(n, k, c, c)``.

    Args:
        x: ``(n, h, w, c)``.
        masks: ``(k, h, w)``, or None for all positions.
        plan: plan of the same masks.
        shift: subtracted from the activations of each region first, ``(n, k, c)``.
    """
    if plan is not None:
        return planned_gram(x, plan, shift)
    if shift is not None:
        parts = [
            _gram(x - shift[:, k, None, None], None if masks is None else masks[k : k + 1])
            for k in range(shift.shape[1])
        ]
        return jnp.concatenate(parts, 1)
    return gram_matrix(x, "positions")[:, None] if masks is None else guided_gram(x, masks)


def _square(x: FeatureMap, masks: Masks | None, shift: Array | None) -> Array:
    """Compute the mean square of each region, ``(n, k, c)``, about a shift ``(n, k, c)`` if there is one."""
    if shift is None:
        return _mean(jnp.square(x), masks)
    parts = [
        _mean(jnp.square(x - shift[:, k, None, None]), None if masks is None else masks[k : k + 1])
        for k in range(shift.shape[1])
    ]
    return jnp.concatenate(parts, 1)


def _maps(statistic: Means, features: FeatureMap) -> tuple[FeatureMap, ...]:
    """Call ``statistic.maps``, which a user may have written, and check the result.

    Raises:
        InputError: If it is not a tuple of arrays ``(n, h, w, c)``.
    """
    maps = statistic.maps(features)
    if not isinstance(maps, tuple) or any(jnp.ndim(x) != 4 for x in maps):
        raise InputError(
            f"`style_statistic`: the method maps of {type(statistic).__name__} must return a tuple of arrays "
            f"(n, h, w, c), such as (features,)"
        )
    return maps


@partial(jax.jit, static_argnums=0)
def describe(
    statistic: Means, features: FeatureMap, masks: Masks | None, plan: MaskPlan | None = None
) -> Description:
    """Compute the statistic of each region.

    Args:
        statistic: the statistic.
        features: activations, ``(n, h, w, c)``.
        masks: ``(k, h, w)``, or None for all positions.
        plan: plan of the same masks, which makes Gram matrices cheaper.

    Returns:
        Arrays ``(n, k, ...)`` by name; without masks ``k`` is 1.
    """
    found: Description = {}
    for index, x in enumerate(_maps(statistic, features)):
        shift = None
        if statistic.about_mean or "mean" in statistic.averages:
            mean = _mean(x, masks)
            shift = lax.stop_gradient(mean) if statistic.about_mean else None
            found[_name("mean", index)] = mean
        if "gram" in statistic.averages:
            found[_name("gram", index)] = _gram(x, masks, plan, shift)
        if "square" in statistic.averages:
            found[_name("square", index)] = _square(x, masks, shift)
    if statistic.counts_positions:
        n, h, w, _ = features.shape
        count = jnp.full(1, h * w, features.dtype) if masks is None else masks.sum((1, 2))
        found["positions"] = jnp.broadcast_to(count, (n, len(count)))
    return statistic.describe(found)


def part_sums(
    statistic: Means, features: FeatureMap, weights: Masks, shifts: tuple[Array, ...] | None = None
) -> Description:
    """Compute weighted sums over the positions of a part.

    :func:`merge` combines the sums of parts, and :func:`finish` computes the statistic from those of the
    whole. The weights must be constants: the derivative of their square root, which is used here, is infinite
    at 0.

    Args:
        statistic: the statistic; it must be ``local``.
        features: activations of the part, ``(1, h, w, c)``.
        weights: ``(k, h, w)``.
        shifts: for a statistic with ``about_mean``, the points about which squares are taken, ``(1, k, c)``
            for each map; by default the part's own means.

    Returns:
        Sums ``(1, k, ...)`` by name.
    """
    k = len(weights)
    root = jnp.sqrt(weights).reshape(k, -1, 1).astype(features.dtype)
    weight = jnp.square(root).sum(1)[None]
    found: Description = {"weight": weight} if statistic.about_mean else {}
    for index, x in enumerate(_maps(statistic, features)):
        f = x.reshape(1, -1, x.shape[-1])
        if statistic.about_mean or "mean" in statistic.averages:
            mean = jnp.matmul(jnp.square(root)[..., 0], f[0], precision=lax.Precision.HIGHEST)[None]
            found[_name("mean", index)] = mean
        if statistic.about_mean:
            shift = mean / _positive(weight) if shifts is None else shifts[index]
            f = f - lax.stop_gradient(shift)[0][:, None]
        if "gram" in statistic.averages:
            found[_name("gram", index)] = gram_matrix((root * f)[:, None])[None]
        if "square" in statistic.averages:
            found[_name("square", index)] = jnp.square(root * f).sum(1)[None]
    return found


def _positive(weight: Array) -> Array:
    """Replace weights of 0 by 1, for divisions."""
    return jnp.where(weight > 0, weight, 1.0)


def _means(sums: Description) -> tuple[Array, ...]:
    """Compute the mean of each map, ``(1, k, c)``, from the sums."""
    count = sum(name.startswith("mean") for name in sums)
    return tuple(sums[_name("mean", index)] / _positive(sums["weight"]) for index in range(count))


def shifts_of(statistic: Means, sums: Description) -> tuple[Array, ...] | None:
    """Return the points about which the second pass takes squares.

    Returns:
        The mean of each map, ``(1, k, c)``, or None if the statistic takes no squares about the mean.
    """
    return _means(sums) if statistic.about_mean and sums else None


def merge(one: Description, other: Description) -> Description:
    """Combine the sums of two parts.

    Squares are about the means of both parts together (Chan, Golub and LeVeque 1979, eq. 2.1).

    Args:
        one: the sums of one part.
        other: the sums of the other part, of the same statistic.

    Returns:
        The sums of both, with the same names.
    """
    found = {name: one[name] + other[name] for name in one}
    if "weight" in one:
        factor = one["weight"] * other["weight"] / _positive(found["weight"])
        for index, (first, second) in enumerate(zip(_means(one), _means(other), strict=True)):
            step = second - first
            gram, square = _name("gram", index), _name("square", index)
            if gram in one:
                found[gram] += factor[..., None] * step[..., :, None] * step[..., None, :]
            if square in one:
                found[square] += factor * jnp.square(step)
    return found


def finish(statistic: Means, sums: Description, weight: Array) -> Description:
    """Compute the statistic from the sums of all parts.

    Args:
        statistic: the statistic.
        sums: from :func:`part_sums` and :func:`merge`.
        weight: sum of the weights of each region, ``(k,)``.

    Returns:
        Arrays ``(1, k, ...)`` by name.
    """
    kept = {*statistic.averages, *(("mean",) if statistic.about_mean else ())}
    found = {
        name: x / weight.reshape(1, -1, *(1,) * (x.ndim - 2))
        for name, x in sums.items()
        if name.rstrip("0123456789") in kept
    }
    if statistic.counts_positions:
        found["positions"] = weight.reshape(1, -1)
    return statistic.describe(found)


def make_target(statistic: Statistic, features: FeatureMap, mask: Masks | None) -> Description:
    """Compute the target for the activations of a style image.

    Args:
        statistic: the statistic.
        features: activations, ``(1, h, w, c)``.
        mask: ``(1, h, w)``, or None for all positions.

    Returns:
        Arrays by name, as :meth:`Means.target` or :meth:`Points.target` returns them.
    """
    if isinstance(statistic, Points):
        return statistic.target(features, mask)
    assert isinstance(statistic, Means)
    return statistic.target(
        {name: value[:, 0] for name, value in describe(statistic, features, mask).items()}
    )
