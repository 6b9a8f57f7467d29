"""The weighted sum of the content, style and total variation losses, as a function of the image."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.losses.content import content_loss
from nstjax.losses.record import Objective
from nstjax.losses.spatial import MaskPlan, make_plan
from nstjax.losses.statistics import Description, Gram, Means, Points, Statistic, describe
from nstjax.losses.targets import RegionFeatures, RegionTarget, StyleFeatures, Targets, layer_targets
from nstjax.losses.tv import total_variation
from nstjax.losses.windows import window_loss
from nstjax.typing import Features, Images, Scalar, Terms


def make_targets(
    record: Objective,
    content: Features,
    style: Features | Sequence[RegionFeatures],
    shapes: dict[str, tuple[int, int]] | None = None,
) -> Targets:
    """Compute the targets of the losses from the activations of the images.

    Args:
        record: the objective, with its layers named.
        content: activations of the content image, at least those of ``record.used_content_layers``.
        style: activations of the style image, at least those of ``record.used_style_layers``; or regions,
            each with its own style images. The activations alone have the same meaning as one region of all
            positions with one style image.
        shapes: rows and columns of the output image at each style layer. Only needed if a region has a mask,
            or if the statistic compares positions with one another (it extends :class:`Points`: gaussian,
            sliced, polynomial of degree 3 or more).

    Returns:
        The targets.

    Raises:
        InputError: If a mask is empty or does not have the shape of the layer, shapes are missing, or the
            weights of all regions, or of all style images of a region, are 0.
    """
    regions = style if isinstance(style, Sequence) else (RegionFeatures((StyleFeatures(style),)),)
    layers = record.used_style_layers
    guided = isinstance(record.statistic, Points) or any(region.masks is not None for region in regions)
    if guided and not set(layers) <= set(shapes or {}):
        raise InputError(
            "make_targets needs shapes, the picture's rows and columns at each style layer, with masks"
        )
    found = {
        name: layer_targets(
            record.statistic,
            record.guidance,
            record.blend,
            name,
            regions,
            (shapes or {}).get(name, (0, 0)),
            record.style_loss == "raw_sum",
        )
        for name in layers
    }
    plans = {}
    for name, targets in found.items():
        masks = [target.mask for target in targets if target.mask is not None]
        if masks and not any(
            isinstance(target.statistic, Points) or target.statistic != record.statistic for target in targets
        ):
            plans[name] = make_plan(jnp.concatenate(masks))
    return Targets({name: content[name] for name in record.used_content_layers}, found, plans)


Described: TypeAlias = tuple[Description, Description]
"""Statistics of the regions with masks, in their order, and of the regions without."""


def by_statistic(regions: tuple[RegionTarget, ...]) -> dict[Statistic, list[RegionTarget]]:
    """Group the regions of a layer by their statistic."""
    found: dict[Statistic, list[RegionTarget]] = {}
    for region in regions:
        found.setdefault(region.statistic, []).append(region)
    return found


def _describe_regions(
    features: jax.Array, statistic: Means, group: list[RegionTarget], plan: MaskPlan | None
) -> Described:
    """Compute the statistics of all regions of a group, with one product for all of them."""
    masks = [region.mask for region in group if region.mask is not None]
    guided = describe(statistic, features, jnp.concatenate(masks), plan) if masks else {}
    return guided, describe(statistic, features, None) if len(masks) < len(group) else {}


def style_of(
    record: Objective,
    group: list[RegionTarget],
    described: Described,
    dtype: Any,
) -> Scalar:
    """Compute the weighted sum of the style losses of a group of regions.

    It is ``Σ_k factor_k Σ_j weight_kj · loss_kj``, over regions ``k`` and their targets ``j``.

    Args:
        record: the objective.
        group: regions with the same statistic, one that extends :class:`Means`.
        described: statistics of the output image; see :data:`Described`.
        dtype: dtype of the result.

    Returns:
        A scalar.
    """
    guided, plain = described
    total, at = jnp.zeros((), dtype), 0
    for region in group:
        assert isinstance(region.statistic, Means)
        found, k = (plain, 0) if region.mask is None else (guided, at)
        at += region.mask is not None
        mine = {name: value[:, k] for name, value in found.items()}
        for weight, target in zip(region.weights, region.targets, strict=True):
            loss = region.statistic.loss(mine, target, record.style_loss, record.style_distance)
            total += region.factor * weight * loss
    return total


def _style_of_points(record: Objective, group: list[RegionTarget], features: jax.Array) -> Scalar:
    """Compute the same sum for a statistic that extends :class:`Points`."""
    total = jnp.zeros((), features.dtype)
    for region in group:
        assert isinstance(region.statistic, Points)
        for weight, target in zip(region.weights, region.targets, strict=True):
            loss = region.statistic.loss(features, region.mask, region.plan, target, record.style_loss)
            total += region.factor * weight * loss
    return total


def _style_term(
    record: Objective, features: jax.Array, regions: tuple[RegionTarget, ...], plan: MaskPlan | None
) -> Scalar:
    """Compute the style loss of one layer."""
    total = jnp.zeros((), features.dtype)
    for statistic, group in by_statistic(regions).items():
        if isinstance(statistic, Means):
            described = _describe_regions(features, statistic, group, plan)
            total += style_of(record, group, described, features.dtype)
        else:
            total += _style_of_points(record, group, features)
    return total


def _window_term(record: Objective, features: jax.Array, regions: tuple[RegionTarget, ...]) -> Scalar:
    """Compute the window loss of one layer, over the regions without a mask."""
    total = jnp.zeros((), features.dtype)
    for region in regions:
        if region.mask is None and isinstance(region.statistic, Gram):
            for weight, target in zip(region.weights, region.targets, strict=True):
                total += region.factor * weight * window_loss(features, target["gram"], record.windows)
    return total


def _kind(term: str) -> str:
    """Return the key in ``Targets.balance`` of the factor for a term."""
    kind = term.split("/")[0]
    return "style" if kind == "windows" else kind


def weighted(
    record: Objective,
    targets: Targets,
    image: Images,
    content: Callable[[str], Scalar],
    style: Callable[[str], Scalar],
    windows: Callable[[str], Scalar] | None = None,
) -> tuple[Scalar, Terms]:
    """Compute the loss and its weighted terms from unweighted losses of each layer.

    Args:
        record: the objective.
        targets: the targets; they determine which layers have terms, and the factors of the balance.
        image: the image, for its total variation, ``(n, h, w, 3)``.
        content: returns the content loss of a layer, given its name.
        style: returns the style loss of a layer, given its name.
        windows: returns the window loss of a layer, given its name; None if there is none.

    Returns:
        ``(total, terms)``; see :func:`objective`.
    """
    terms: Terms = {}
    factors = record.content_layer_weights or (1.0,) * len(record.content_layers)
    for name, factor in zip(record.content_layers, factors, strict=True):
        if name in targets.content:
            terms[f"content/{name}"] = record.content_weight * factor * content(name)
    count = len(record.style_layers)
    factors = record.style_layer_weights or (1.0 / max(count, 1),) * count
    for name, factor in zip(record.style_layers, factors, strict=True):
        if name in targets.style:
            terms[f"style/{name}"] = record.beta * factor * style(name)
            if windows is not None and record.window_weight:
                terms[f"windows/{name}"] = record.beta * factor * record.window_weight * windows(name)
    if record.tv_weight:
        terms["tv"] = record.tv_weight * total_variation(image, record.tv_distance, record.tv_reduction)
    if targets.balance:
        terms = {name: targets.balance[_kind(name)] * term for name, term in terms.items()}
    return jnp.stack(list(terms.values())).sum(), terms


def _objective(
    record: Objective, apply: Callable[..., Features], network: Any, targets: Targets, image: Images
) -> tuple[Scalar, Terms]:
    """Compute the loss of an image and its terms; see :func:`objective`."""
    found = apply(network, image, record.layers) if record.layers else {}

    def content(name: str) -> Scalar:
        return content_loss(found[name], targets.content[name], record.content_loss, record.content_distance)

    def style(name: str) -> Scalar:
        return _style_term(record, found[name], targets.style[name], targets.plans.get(name))

    def windows(name: str) -> Scalar:
        return _window_term(record, found[name], targets.style[name])

    return weighted(record, targets, image, content, style, windows)


def objective(
    record: Objective, apply: Callable[..., Features], network: Any, targets: Targets
) -> Callable[[Images], tuple[Scalar, Terms]]:
    """Return the loss as a function of the image alone.

    Args:
        record: the loss to minimize, with its layers named.
        apply: ``apply(network, image, layers) -> {name: (n, h, w, c)}``, pure and hashable, for example
            ``functools.partial(nstjax.features, pooling="average")``.
        network: a pytree that is passed to ``apply``.
        targets: from :func:`make_targets`.

    Returns:
        ``fn(image) -> (total, terms)``. ``terms`` holds the weighted terms by name and layer
        (``"content/relu4_2"``, ``"style/relu1_1"``, ``"tv"``), and ``total`` is their sum. The function is a
        pytree (:class:`jax.tree_util.Partial`), so that ``jax.jit`` accepts it as an argument and compiles
        once for all targets and network weights of the same shapes.
    """
    return jax.tree_util.Partial(_Static(record, apply), network, targets)


@dataclasses.dataclass(frozen=True)
class _Static:
    """The hashable part of an objective. Equal records and functions share a compiled program."""

    record: Objective
    apply: Callable[..., Features]

    def __call__(self, network: Any, targets: Targets, image: Images) -> tuple[Scalar, Terms]:
        return _objective(self.record, self.apply, network, targets, image)
