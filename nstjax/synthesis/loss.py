"""The loss of a synthesis at one scale: computed for the whole picture, in tiles, or on several devices."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
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

_LEAST_ROWS = 32  # of a device: fewer are nearly all border


def rows_on_devices(height: int) -> NamedSharding | None:
    """The rows of ``(n, height, w, c)`` on as many devices as share them evenly; None for one."""
    devices = jax.devices()
    most = min(len(devices), height // _LEAST_ROWS)
    count = max((n for n in range(1, most + 1) if height % n == 0), default=1)
    if count == 1:
        return None
    return NamedSharding(Mesh(np.array(devices[:count]), ("rows",)), PartitionSpec(None, "rows"))


@dataclasses.dataclass(frozen=True)
class _Sharded:
    """Hashable; equal ones share a compiled program."""

    sharding: NamedSharding

    def __call__(self, fun: Any, image: Images) -> tuple[Scalar, Terms]:
        found: tuple[Scalar, Terms] = fun(lax.with_sharding_constraint(image, self.sharding))
        return found


def sharded(fun: Callable[..., Any], height: int) -> Callable[[Images], tuple[Scalar, Terms]]:
    """The same function of an image, its activations on several devices.

    Args:
        fun: a pytree, such as :func:`nstjax.losses.objective` gives, with XLA's own convolutions
            (``convolution="plain"``), which are divided with no more exchanged than a row or two.
        height: of the image.
    """
    sharding = rows_on_devices(height)
    return fun if sharding is None else jax.tree_util.Partial(_Sharded(sharding), fun)


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """:func:`nstjax.features` with its options fixed; equal options compare equal, so programs are shared."""

    pooling: Pooling
    pooling_scale: float
    padding: Padding
    convolution: Method = "auto"
    precision: Precision = "float32"

    def __call__(self, network: Backbone, images: Images, layers: tuple[str, ...]) -> Features:
        """Activations of ``layers``."""
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
    """Rows and columns of each layer for an image of ``(height, width)``, without running the network."""
    image = jax.ShapeDtypeStruct((1, *size, 3), "float32")
    shapes = jax.eval_shape(lambda x: apply(backbone, x, layers), image)
    return {name: (found.shape[1], found.shape[2]) for name, found in shapes.items()}


class LossNetwork:
    """A feature network with the options of a config.

    Args:
        config: with its layers named.
        backbone: from :func:`nstjax.load_backbone`.

    Raises:
        InputError: the loss cannot be computed by tiles where these are asked for.
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
        """For activations that are computed once: XLA's own convolutions, slower to run, are quicker to compile."""
        return dataclasses.replace(self._apply, convolution="plain")

    def features(self, image: Images, layers: tuple[str, ...]) -> Features:
        """Activations for a target."""
        if self.config.by_tiles(image.shape[1], image.shape[2]):
            return tiled_features(self.once, self.backbone, image, layers, self.config.tile)
        return self.once(self.backbone, image, layers)

    def sizes(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Rows and columns of the style layers for a picture of ``(height, width)``."""
        return layer_sizes(self._apply, self.backbone, size, self.config.objective.used_style_layers)

    def loss(self, targets: Targets, size: tuple[int, int]) -> ObjectiveFn:
        """The loss of an image of ``(height, width)``."""
        record = self.config.objective
        if self.config.by_tiles(*size):
            return tiled_objective(record, self._apply, self._ready, targets, size, self.config.tile)
        fun = objective(record, self._apply, self._ready, targets)
        return sharded(fun, size[0]) if self.config.shard else fun


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """The settings for computing targets from images without masks.

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
        regions: from :func:`nstjax.synthesis.styles.check_regions`.
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
