"""The feature network of a synthesis: its activations, and the loss made of them, in one piece or by tiles."""

import dataclasses

import jax

from nstjax.losses import Targets, objective
from nstjax.losses.parts import check_parts
from nstjax.nn.conv import Method
from nstjax.nn.prepare import prepared
from nstjax.nn.vgg import check_pooling, features
from nstjax.optim import ObjectiveFn
from nstjax.synthesis.config import TransferConfig
from nstjax.synthesis.sharding import sharded
from nstjax.synthesis.tiles import tiled_features, tiled_objective
from nstjax.typing import Backbone, Features, Images, Padding, PoolingChoice, Precision


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """:func:`nstjax.features` with its options fixed; equal options compare equal, so programs are shared."""

    pooling: PoolingChoice
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
        check_pooling(backbone, config.pooling)
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
