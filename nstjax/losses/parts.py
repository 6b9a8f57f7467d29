"""The loss of an image that is computed in parts: sums over positions are added before the loss."""

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
"""``content`` by layer; ``style`` by layer, for each statistic the sums of regions with masks and of those without;
``positions`` by layer."""


def check_parts(record: Objective) -> None:
    """Raise :class:`InputError` where the loss compares points with points, which no sum over parts can stand for."""
    if record.window_weight:
        raise InputError("`tile` does not go with `window_weight`: set `window_weight` to 0, or use no tiles")
    if not (isinstance(record.statistic, Means) and record.statistic.local):
        raise InputError(
            f"`tile`: the style statistic {record.style_statistic} compares positions of the whole picture with one "
            f"another; use gram, linear, moments, covariance or wasserstein, or no tiles"
        )


def tile_sums(
    record: Objective,
    targets: Targets,
    features: Features,
    own: Mapping[str, Array],
    whole: Sums | None = None,
) -> Sums:
    """The sums of one part.

    Args:
        record: with its layers named.
        targets: with contents and masks cut to the part; plans are not used.
        features: of the part, ``{name: (1, h, w, c)}``.
        own: ``{name: (h, w)}``, 1 at the positions that are this part's and 0 at those of others.
        whole: the sums of all parts, about whose means the squares are then taken: only so they add up, as the
            gradient of a part needs it. By default they are about the part's own means; see :func:`merged`.
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
    """The sums of two parts together."""
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
    """The loss and its terms, as :func:`nstjax.losses.objective` gives them, from the sums of all parts.

    Args:
        record: with its layers named.
        targets: of the whole image.
        sums: of all parts, by :func:`merged`.
        image: the whole, for its variation.
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
