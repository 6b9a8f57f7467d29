"""Type aliases of arrays, and the class :class:`Backbone`.

Letters of shapes: ``n`` images in a batch, ``h`` rows, ``w`` columns, ``c`` channels.
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
"""Activations by the layer's name, each ``(n, h, w, c)``."""

GramMatrix: TypeAlias = Float[Array, "n c c"]
Scalar: TypeAlias = Float[Array, ""]
Terms: TypeAlias = dict[str, Array]
"""Weighted loss terms by name, such as ``style/relu1_1``; their sum is the loss."""

Params: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Weights by convolution: ``{"conv1_1": {"kernel": (3, 3, in, out), "bias": (out,)}, …}``. In the embedded network a
convolution may also have a ``"head"``, ``(out, k)``, a linear map whose outputs are the layer's activations."""

Pooling: TypeAlias = Literal["max", "average"]
Padding: TypeAlias = Literal["zeros", "replicate"]
Precision: TypeAlias = Literal["float32", "tf32", "bfloat16"]
"""Precision of a network's products: full float32; float32 operands rounded to 10 fraction bits, on devices with such
products (TF32); or operands and activations in bfloat16, which has 7 fraction bits."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Backbone:
    """A feature network: its weights, its architecture, and the preprocessing that it needs.

    A pytree whose leaves are the weights. It can therefore be an argument of a function under ``jax.jit``, and the
    weights do not become constants of the compiled program.

    Attributes:
        params: the weights, see :data:`Params`: the first ``k`` convolutions of ``arch``, ``k ≥ 1``.
        arch: ``"vgg16"``, ``"vgg19"``, or ``"embedded"`` for a small network that imitates VGG-19.
        preprocessing: the preprocessing that :func:`nstjax.features` applies to images.
        layers: names of the layers whose activations the network can compute, from shallow to deep.
        source: description of where the weights came from.
        sha256: hash of the weights file; empty if they were not read from a file.
    """

    params: Params = dataclasses.field(repr=False)
    arch: str = dataclasses.field(metadata={"static": True})
    preprocessing: Preprocessing = dataclasses.field(metadata={"static": True})
    layers: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    source: str = dataclasses.field(default="", metadata={"static": True})
    sha256: str = dataclasses.field(default="", metadata={"static": True})

    def describe(self) -> dict[str, Any]:
        """Return a description of the network for a run record, as a dict that can be written as JSON."""
        return {
            "arch": self.arch,
            "deepest_layer": self.layers[-1],
            "source": self.source,
            "sha256": self.sha256,
            "preprocessing": dataclasses.asdict(self.preprocessing),
        }
