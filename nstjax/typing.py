"""Type aliases of arrays, and small frozen dataclasses shared by all packages.

Shape letters: ``n`` images in a batch, ``h`` rows, ``w`` columns, ``c`` channels.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float

from nstjax.preprocessing import Preprocessing

Images: TypeAlias = Float[Array | np.ndarray, "n h w 3"]
"""A batch of sRGB images, float32, values in [0, 1]."""

FeatureMap: TypeAlias = Float[Array, "n h w c"]
"""The activations of one layer."""

Features: TypeAlias = dict[str, Array]
"""Activations by layer name, each ``(n, h, w, c)``."""

GramMatrix: TypeAlias = Float[Array, "n c c"]
Scalar: TypeAlias = Float[Array, ""]
Terms: TypeAlias = dict[str, Array]
"""Weighted loss terms by name, e.g. ``style/relu1_1``; their sum is the loss."""

Params: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Weights by convolution: ``{"conv1_1": {"kernel": (3, 3, in, out), "bias": (out,)}, …}``; in a small network
perhaps with a ``"head"``, ``(out, k)``, whose outputs are what it gives for the layer."""

Pooling: TypeAlias = Literal["max", "average"]
PoolingChoice: TypeAlias = Literal["network", "max", "average"]
"""``network`` is the pooling that a network was trained with."""
Padding: TypeAlias = Literal["zeros", "replicate"]
Precision: TypeAlias = Literal["float32", "tf32", "bfloat16"]
"""Of a network's products: in full; of operands with 10 bits after the point, where the device has such products;
or of operands, and activations, with 7."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Backbone:
    """A feature network: weights, the table that they fill, and the preprocessing they want.

    A pytree whose leaves are the weights, so that it passes through ``jax.jit`` as an argument
    and no weight is baked into a compiled program.

    Attributes:
        params: see :data:`Params`; the first ``k`` convolutions of ``arch``, ``k ≥ 1``.
        arch: ``"vgg16"``, ``"vgg19"``, or ``"embedded"`` for a small network that imitates VGG-19.
        preprocessing: applied to images inside :func:`nstjax.features`.
        layers: the layers that it can give, shallow to deep.
        source: where the weights came from, in words.
        sha256: hash of the file they were read from; empty where there was none.
    """

    params: Params = dataclasses.field(repr=False)
    arch: str = dataclasses.field(metadata={"static": True})
    preprocessing: Preprocessing = dataclasses.field(metadata={"static": True})
    layers: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    source: str = dataclasses.field(default="", metadata={"static": True})
    sha256: str = dataclasses.field(default="", metadata={"static": True})

    def describe(self) -> dict[str, Any]:
        """What a run record says of the network."""
        return {
            "arch": self.arch,
            "deepest_layer": self.layers[-1],
            "source": self.source,
            "sha256": self.sha256,
            "preprocessing": dataclasses.asdict(self.preprocessing),
        }
