"""Computes the loss of an image in parts, such as tiles.

Each part gives sums over its positions. The loss is computed from the totals over all parts.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from nstjax.errors import InputError
from nstjax.losses.content import content_of_sum
from nstjax.losses.distance import distance
from nstjax.losses.objective import by_statistic, style_of, weighted
from nstjax.losses.record import Objective
from nstjax.losses.statistics import Description, Means, averages
from nstjax.losses.targets import Targets
from nstjax.typing import Features, Images, Scalar, Terms

Sums = dict[str, Any]
"""Sums over positions from which the loss is computed.

``content`` holds ``Σ d(F − P)`` by layer. ``style`` holds, by layer, a list with one pair for each statistic:
the sums of the regions with masks, and the sums of the regions without. ``positions`` holds the number of
positions by layer.
"""


def check_parts(record: Objective) -> None:
    """Check that the loss can be computed in parts.

    Raises:
        InputError: If the objective has a window loss, or its style statistic is not made of sums over
            positions.
    """
    if record.window_weight:
        raise InputError("`tile` does not go with `window_weight`: set `window_weight` to 0, or use no tiles")
    if not (isinstance(record.statistic, Means) and record.statistic.local):
        raise InputError(
            f"`tile`: the style statistic {record.style_statistic} cannot be computed in tiles: use gram, linear, "
            f"moments, covariance or wasserstein, or no tiles"
        )


def tile_sums(
    record: Objective,
    targets: Targets,
    features: Features,
    own: Mapping[str, Array],
    whole: Sums | None = None,
) -> Sums:
    """Compute the sums of one part.

    Args:
        record: the objective, with its layers named.
        targets: the targets, with content activations and masks cut to the part. Their plans are not used.
        features: activations of the part, ``{name: (1, h, w, c)}``.
        own: ``{name: (h, w)}``, 1 at the positions that belong to this part and 0 at those of other parts.
        whole: sums of all parts, for the second pass, which computes gradients. Squares are then taken about
            the means of the whole image, so that the parts add up. By default they are taken about the part's
            own means; see :func:`merged`.

    Returns:
        The sums of the part.
    """

    def shifts(name: str, at: int, statistic: Means, guided: bool) -> tuple[Array, ...] | None:
        found = whole["style"][name][at][0 if guided else 1] if whole else {}
        return averages.shifts_of(statistic, found)

    content = {
        name: (own[name][..., None] * distance(features[name] - target, record.content_distance)).sum()
        for name, target in targets.content.items()
    }
    style: dict[str, list[tuple[Description, Description]]] = {}
    for name, regions in targets.style.items():
        style[name] = []
        for at, (statistic, group) in enumerate(by_statistic(regions).items()):
            assert isinstance(statistic, Means)
            masks = [region.mask for region in group if region.mask is not None]
            guided, plain = {}, {}
            if masks:
                weights = own[name] * jnp.concatenate(masks)
                guided = averages.part_sums(
                    statistic, features[name], weights, shifts(name, at, statistic, True)
                )
            if len(masks) < len(group):
                plain = averages.part_sums(
                    statistic, features[name], own[name][None], shifts(name, at, statistic, False)
                )
            style[name].append((guided, plain))
    return {
        "content": content,
        "style": style,
        "positions": {name: own[name].sum() for name in targets.style},
    }


def merged(one: Sums, other: Sums) -> Sums:
    """Combine the sums of two parts."""
    return {
        "content": {name: value + other["content"][name] for name, value in one["content"].items()},
        "style": {
            name: [
                (averages.merge(guided, guided_too), averages.merge(plain, plain_too))
                for (guided, plain), (guided_too, plain_too) in zip(parts, other["style"][name], strict=True)
            ]
            for name, parts in one["style"].items()
        },
        "positions": {name: value + other["positions"][name] for name, value in one["positions"].items()},
    }


def loss_of_sums(record: Objective, targets: Targets, sums: Sums, image: Images) -> tuple[Scalar, Terms]:
    """Compute the loss and its terms from the sums of all parts.

    Args:
        record: the objective, with its layers named.
        targets: the targets of the whole image.
        sums: the sums of all parts, combined by :func:`merged`.
        image: the whole image, ``(1, h, w, 3)``, for its total variation.

    Returns:
        ``(total, terms)``, as the function that :func:`nstjax.losses.objective` returns.
    """

    def content(name: str) -> Scalar:
        total, target = sums["content"][name], targets.content[name]
        return content_of_sum(total, target, record.content_loss, record.content_distance)

    def style(name: str) -> Scalar:
        total = jnp.zeros((), image.dtype)
        groups = by_statistic(targets.style[name])
        for (statistic, group), (guided, plain) in zip(groups.items(), sums["style"][name], strict=True):
            assert isinstance(statistic, Means)
            masks = [region.mask.sum() for region in group if region.mask is not None]
            described: tuple[Description, Description] = (
                averages.finish(statistic, guided, jnp.stack(masks)) if masks else {},
                averages.finish(statistic, plain, sums["positions"][name]) if plain else {},
            )
            total += style_of(record, group, described, image.dtype)
        return total

    return weighted(record, targets, image, content, style)
