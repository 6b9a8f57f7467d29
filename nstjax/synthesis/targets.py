"""What a picture is compared with at one scale."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from nstjax import programs
from nstjax.losses import Objective, RegionFeatures, StyleFeatures, Targets, make_targets
from nstjax.losses.statistics import Means, Statistic
from nstjax.synthesis.network import FeatureExtractor, LossNetwork
from nstjax.synthesis.regions import regions_at
from nstjax.synthesis.sources import StyleRegion
from nstjax.typing import Backbone


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """How targets are made from pictures, where nothing has a mask.

    Attributes:
        record: of the objective, without what weighs its terms.
        apply: gives the activations.
        statistic: of the record. Cached programs are found by its ``repr``, which tells versions of a user's own code
            apart.
        regions: the weight of each, and its paintings: which one, and its share.
    """

    record: Objective
    apply: FeatureExtractor
    statistic: Statistic
    regions: tuple[tuple[float, tuple[tuple[int, float], ...]], ...]


@partial(jax.jit, static_argnames="recipe")
def _without_masks(
    backbone: Backbone, content: jax.Array | None, paintings: tuple[jax.Array, ...], recipe: _Recipe
) -> Targets:
    record, apply = recipe.record, recipe.apply
    seen = {} if content is None else apply(backbone, content, record.used_content_layers)
    styles = [apply(backbone, painting, record.used_style_layers) for painting in paintings]
    regions = [
        RegionFeatures(
            tuple(StyleFeatures(styles[which], None, share) for which, share in sources), None, weight
        )
        for weight, sources in recipe.regions
    ]
    return make_targets(record, seen, regions)


def _unweighted(record: Objective) -> Objective:
    """One record for all weights, so that a sweep over them shares a program."""
    return dataclasses.replace(
        record,
        content_layers=record.used_content_layers,
        style_layers=record.used_style_layers,
        content_weight=1.0,
        style_weight=1.0,
        tv_weight=0.0,
        content_layer_weights=(),
        style_layer_weights=(),
    )


def _is_whole(mask: np.ndarray | None) -> bool:
    """True if the mask is None or all ones."""
    return mask is None or bool((mask == 1).all())


def targets_at(
    network: LossNetwork,
    regions: tuple[StyleRegion, ...],
    style_at: Callable[[jax.Array], jax.Array],
    size: tuple[int, int],
    content: jax.Array | None = None,
) -> Targets:
    """The targets of one scale; where nothing has a mask, by one program, which is kept (:func:`nstjax.programs.run`).

    Args:
        network: of the synthesis.
        regions: from :func:`nstjax.synthesis.sources.check_regions`.
        style_at: a painting at this scale.
        size: ``(height, width)`` of the picture.
        content: the photograph at this scale, ``(1, height, width, 3)``; none where nothing is asked of it.
    """
    config, record = network.config, network.config.objective
    whole = all(_is_whole(r.mask) and all(_is_whole(s.mask) for s in r.styles) for r in regions)
    if whole and not config.tile and isinstance(record.statistic, Means):
        paintings = list({id(s.image): s.image for r in regions for s in r.styles}.values())
        number = {id(painting): i for i, painting in enumerate(paintings)}
        recipe = _Recipe(
            _unweighted(record),
            network.once,
            record.statistic,
            tuple((r.weight, tuple((number[id(s.image)], s.weight) for s in r.styles)) for r in regions),
        )
        pictures = tuple(style_at(jnp.asarray(painting)) for painting in paintings)
        found: Targets = programs.run(_without_masks, (network.backbone, content, pictures), recipe)
        return found
    return make_targets(
        record,
        {} if content is None else network.features(content, record.used_content_layers),
        regions_at(
            regions,
            size,
            config,
            network.backbone.arch,
            style_at,
            lambda image: network.features(image, record.used_style_layers),
        ),
        network.sizes(size),
    )
