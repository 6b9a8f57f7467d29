"""The loss of a synthesis at one scale, computed for the whole image, in tiles, or on several devices."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nstjax import programs
from nstjax.losses import Objective, RegionFeatures, StyleFeatures, Targets, make_targets, objective
from nstjax.losses.parts import check_parts
from nstjax.losses.statistics import Means, Statistic
from nstjax.nn.conv import Method
from nstjax.nn.prepare import prepared
from nstjax.nn.vgg import features
from nstjax.optim import ObjectiveFn
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.styles import StyleRegion, regions_at
from nstjax.synthesis.tiled_loss import tiled_features, tiled_objective
from nstjax.typing import Backbone, Features, Images, Padding, Pooling, Precision, Scalar, Terms

_LEAST_ROWS = 32  # for each device; with fewer, nearly all would be border rows, which devices exchange


def rows_on_devices(height: int) -> NamedSharding | None:
    """Return a sharding of the rows of ``(n, height, w, c)`` over as many devices as divide them evenly.

    Returns:
        The sharding, or None if only one device can be used. Each device gets at least 32 rows.
    """
    devices = jax.devices()
    most = min(len(devices), height // _LEAST_ROWS)
    count = max((n for n in range(1, most + 1) if height % n == 0), default=1)
    if count == 1:
        return None
    return NamedSharding(Mesh(np.array(devices[:count]), ("rows",)), PartitionSpec(None, "rows"))


@dataclasses.dataclass(frozen=True)
class _Sharded:
    """A function of an image with sharded rows. It is hashable, and equal ones share a compiled program."""

    sharding: NamedSharding

    def __call__(self, fun: Any, image: Images) -> tuple[Scalar, Terms]:
        found: tuple[Scalar, Terms] = fun(lax.with_sharding_constraint(image, self.sharding))
        return found


def sharded(fun: Callable[..., Any], height: int) -> Callable[[Images], tuple[Scalar, Terms]]:
    """Return the same function of an image, with its activations distributed over several devices.

    Args:
        fun: a pytree, such as :func:`nstjax.losses.objective` returns, that uses XLA's own convolutions
            (``convolution="plain"``). XLA shards these with an exchange of only one or two rows.
        height: height of the image.
    """
    sharding = rows_on_devices(height)
    return fun if sharding is None else jax.tree_util.Partial(_Sharded(sharding), fun)


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """:func:`nstjax.features` with fixed options.

    Extractors with equal options are equal, so they share compiled programs.
    """

    pooling: Pooling
    pooling_scale: float
    padding: Padding
    convolution: Method = "auto"
    precision: Precision = "float32"

    def __call__(self, network: Backbone, images: Images, layers: tuple[str, ...]) -> Features:
        """Compute the activations of ``layers``."""
        return features(
            network,
            images,
            layers,
            self.pooling,
            pooling_scale=self.pooling_scale,
            padding=self.padding,
            convolution=self.convolution,
            precision=self.precision,
        )


def layer_sizes(
    apply: FeatureExtractor, backbone: Backbone, size: tuple[int, int], layers: tuple[str, ...]
) -> dict[str, tuple[int, int]]:
    """Return the rows and columns of each layer for an image, without running the network.

    Args:
        apply: the feature extractor.
        backbone: the feature network.
        size: ``(height, width)`` of the image.
        layers: names of the layers.
    """
    image = jax.ShapeDtypeStruct((1, *size, 3), "float32")
    shapes = jax.eval_shape(lambda x: apply(backbone, x, layers), image)
    return {name: (found.shape[1], found.shape[2]) for name, found in shapes.items()}


class LossNetwork:
    """A feature network with the options of a config.

    Args:
        config: the config, with its layers named.
        backbone: feature network from :func:`nstjax.load_backbone`.

    Raises:
        InputError: If the config asks for tiles, but the loss cannot be computed in tiles.
    """

    def __init__(self, config: TransferConfig, backbone: Backbone) -> None:
        if config.tile:
            check_parts(config.objective)
        self.config, self.backbone = config, backbone
        how: Method = "plain" if config.shard else "auto"
        self._apply = FeatureExtractor(
            config.pooling, config.pooling_scale, config.padding, how, config.precision
        )
        constant = how == "auto" and config.precision != "bfloat16"
        self._ready = prepared(backbone, config.objective.layers) if constant else backbone

    @property
    def once(self) -> FeatureExtractor:
        """The feature extractor for activations that are computed once.

        It uses XLA's own convolutions, which are slower but compile faster.
        """
        return dataclasses.replace(self._apply, convolution="plain")

    def features(self, image: Images, layers: tuple[str, ...]) -> Features:
        """Compute activations for a target."""
        if self.config.by_tiles(image.shape[1], image.shape[2]):
            return tiled_features(self.once, self.backbone, image, layers, self.config.tile)
        return self.once(self.backbone, image, layers)

    def sizes(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Return the rows and columns of the style layers for an output image of ``(height, width)``."""
        return layer_sizes(self._apply, self.backbone, size, self.config.objective.used_style_layers)

    def loss(self, targets: Targets, size: tuple[int, int]) -> ObjectiveFn:
        """Return the loss of an image of ``(height, width)`` as a function of the image."""
        record = self.config.objective
        if self.config.by_tiles(*size):
            return tiled_objective(record, self._apply, self._ready, targets, size, self.config.tile)
        fun = objective(record, self._apply, self._ready, targets)
        return sharded(fun, size[0]) if self.config.shard else fun


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """The settings for computing targets from images without masks.

    Attributes:
        record: the objective, without the weights of its terms.
        apply: returns the activations.
        statistic: the statistic of the record. The programs of a user's own statistic are not cached, because
            their names do not cover its code.
        regions: the weight of each region, and for each of its style images the index and the weight.
    """

    record: Objective
    apply: FeatureExtractor
    statistic: Statistic
    regions: tuple[tuple[float, tuple[tuple[int, float], ...]], ...]


@partial(jax.jit, static_argnames="recipe")
def _without_masks(
    backbone: Backbone, content: jax.Array | None, paintings: tuple[jax.Array, ...], recipe: _Recipe
) -> Targets:
    """Compute the targets of regions without masks."""
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
    """Return the record with all weights set to constants, so that a sweep over weights shares a program."""
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
    """Return True if the mask is None or all ones."""
    return mask is None or bool((mask == 1).all())


def targets_at(
    network: LossNetwork,
    regions: tuple[StyleRegion, ...],
    style_at: Callable[[Images], Images],
    size: tuple[int, int],
    content: Images | None = None,
) -> Targets:
    """Compute the targets of one scale.

    If there are no masks and no tiles, and the statistic extends :class:`Means`, one compiled program
    computes them, and it is cached (:func:`nstjax.programs.run`).

    Args:
        network: the feature network of the synthesis.
        regions: from :func:`nstjax.synthesis.styles.check_regions`.
        style_at: returns a style image at the size for this scale.
        size: ``(height, width)`` of the output image.
        content: the content image at this scale, ``(1, height, width, 3)``, or None if there is none.

    Returns:
        The targets.

    Raises:
        InputError: If a mask covers nothing of a layer, or the weights of all regions are 0.
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
        pictures = tuple(style_at(painting) for painting in paintings)
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
