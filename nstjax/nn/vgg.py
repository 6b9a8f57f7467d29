"""VGG-16 and VGG-19 (Simonyan and Zisserman 2014, arXiv 1409.1556, table 1, columns D and E).

A network is a table of layer names and a pure function over a tree of weights. The three
fully-connected layers have no part in style transfer and are left out.
"""

from collections.abc import Mapping
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp

from nstjax.errors import InputError, one_of
from nstjax.nn.conv import Method, computed_apart, conv3x3, pool2x2
from nstjax.nn.table import EMBEDDED, conv_names, kernel_shape, layer_names
from nstjax.pixels import check_floating
from nstjax.typing import (
    Backbone,
    Features,
    Images,
    Padding,
    Params,
    Pooling,
    Precision,
    Preprocessing,
)


def make_backbone(
    params: Params, arch: str, preprocessing: Preprocessing, source: str = "", sha256: str = ""
) -> Backbone:
    """Check a tree of weights against the table, and wrap it as a :class:`Backbone`.

    Args:
        params: the first ``k ≥ 1`` convolutions of ``arch``; the rest may be missing.
        arch: ``"vgg16"`` or ``"vgg19"``.
        preprocessing: what the weights want.
        source: in words, for run records.
        sha256: of the file, for run records.

    Raises:
        InputError: a convolution is missing before the deepest one, or has a wrong shape.
    """
    names = conv_names(arch)
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise InputError(f"the weights have {unknown[0]}, which {arch} has not: wrong network?")
    deepest = max((names.index(name) for name in params), default=-1)
    if deepest < 0:
        raise InputError(f"the weights hold no convolution of {arch}: wrong file?")
    for name in names[: deepest + 1]:
        if name not in params:
            raise InputError(f"the weights lack {name} but have deeper layers: {arch} cannot be computed")
        expected = kernel_shape(name)
        kernel, bias = params[name]["kernel"].shape, params[name]["bias"].shape
        if kernel != expected or bias != expected[3:]:
            raise InputError(
                f"{name} has a kernel of shape {kernel} and a bias of shape {bias} where {arch} needs "
                f"{expected} and {expected[3:]}: wrong network?"
            )
    layers = layer_names(arch, deepest + 1)
    ordered = {name: dict(params[name]) for name in names[: deepest + 1]}
    return Backbone(ordered, arch, preprocessing, layers, source, sha256)


def preprocess(images: Images, how: Preprocessing) -> jax.Array:
    """Map sRGB images in [0, 1] to what the weights were trained on."""
    x = jnp.asarray(images)
    if how.order == "BGR":
        x = x[..., ::-1]
    dtype = x.dtype
    return (x * how.scale - jnp.asarray(how.mean, dtype)) / jnp.asarray(how.std, dtype)


def check_layers(backbone: Backbone, layers: tuple[str, ...], option: str = "") -> None:
    """Raise :class:`InputError` unless the network has all of ``layers``, which the field ``option`` names."""
    every, prefix = layer_names(backbone.arch), f"`{option}`: " if option else ""
    for layer in layers:
        if layer in backbone.layers:
            continue
        if layer in every and backbone.arch == EMBEDDED:
            raise InputError(
                f"{prefix}the embedded network has no layer {layer}, only {', '.join(backbone.layers)}: name one of these, "
                f"or use VGG-19 (nstjax weights fetch vgg19)"
            )
        if layer in every:
            raise InputError(
                f"{prefix}layer {layer} is deeper than these {backbone.arch} weights go: they end at "
                f"{backbone.layers[-1]}; name a shallower layer or use the full network's weights"
            )
        raise InputError(
            f"{prefix}{backbone.arch} has no layer {layer!r}: layers are named like conv3_1 (before the ReLU), "
            f"relu3_1 (after it) and pool3"
        )


def check_size(layers: tuple[str, ...], height: int, width: int, what: str = "an image") -> None:
    """Raise :class:`InputError` where an image is too small for the deepest of ``layers``.

    A block of pooling needs two rows and two columns, so block ``b`` needs ``2^(b−1)`` of each, and
    ``pool`` of block ``b`` needs ``2^b``.
    """
    for layer in layers:
        block = int(layer[4])
        least = 2 ** (block if layer.startswith("pool") else block - 1)
        if min(height, width) < least:
            raise InputError(
                f"{what} of {width}×{height} pixels is too small for layer {layer}, which needs at least "
                f"{least}×{least}: use a larger image or shallower layers"
            )


@partial(
    jax.jit, static_argnames=("layers", "pooling", "pooling_scale", "padding", "convolution", "precision")
)
def _forward(
    backbone: Backbone,
    images: Images,
    layers: tuple[str, ...],
    pooling: Pooling,
    pooling_scale: float,
    padding: Padding,
    convolution: Method,
    precision: Precision | None,
) -> Features:
    found: Features = {}
    x = preprocess(images, backbone.preprocessing)
    given = x.dtype
    x = x.astype(jnp.bfloat16) if precision == "bfloat16" else x
    for name in operations(backbone):
        if len(found) == len(set(layers)):
            break
        if name.startswith("conv"):
            weights = backbone.params[name]
            first = name == "conv1_1"
            x = conv3x3(
                x,
                weights["kernel"].astype(x.dtype),
                weights["bias"].astype(x.dtype),
                padding if first else "zeros",
                convolution,
                weights.get("frozen"),
                precision,
            )
        elif name.startswith("relu"):
            x = jax.nn.relu(x)
        else:
            x = pool2x2(x, pooling, pooling_scale)
        x = computed_apart(x)
        if name in layers:
            weights = backbone.params.get(f"conv{name.removeprefix('relu')}", {})
            found[name] = _project(x, weights).astype(given)
    return found


def operations(backbone: Backbone) -> tuple[str, ...]:
    """Every layer to compute, shallow to deep; a small network may lack convolutions of the table."""
    if backbone.arch != EMBEDDED:
        return backbone.layers
    missing = {
        f"{kind}{conv.removeprefix('conv')}"
        for conv in conv_names(EMBEDDED)
        for kind in ("conv", "relu")
        if conv not in backbone.params
    }
    return tuple(name for name in layer_names(EMBEDDED) if name not in missing)


def values_per_pixel(backbone: Backbone, layers: tuple[str, ...]) -> float:
    """Return how many values all convolutions up to the deepest of ``layers`` compute for a pixel of the image."""
    names = operations(backbone)
    total, cells = 0.0, 1
    for name in names[: 1 + max((names.index(layer) for layer in layers), default=-1)]:
        if name.startswith("conv"):
            total += backbone.params[name]["bias"].shape[0] / cells
        elif name.startswith("pool"):
            cells *= 4
    return total


def _project(x: jax.Array, weights: Mapping[str, jax.Array]) -> jax.Array:
    """What a small network gives for a layer: a linear map of its activations; VGG gives them themselves."""
    return x @ weights["head"].astype(x.dtype) if "head" in weights else x


def features(
    backbone: Backbone,
    images: Images,
    layers: tuple[str, ...],
    pooling: Pooling = "max",
    *,
    pooling_scale: float = 1.0,
    padding: Padding = "zeros",
    convolution: Method = "auto",
    precision: Precision | None = None,
) -> Features:
    """Activations of named layers, computing no deeper than the deepest one asked for.

    Args:
        backbone: from :func:`nstjax.load_backbone`.
        images: ``(n, h, w, 3)``, sRGB in [0, 1] (values outside are taken as they are), of a floating type, in which
            the computation is done. Integers are refused: divide 8-bit values by 255.
        layers: names such as ``"conv4_2"``, ``"relu4_2"``, ``"pool4"``.
        pooling: ``"max"``, with which VGG was trained, or ``"average"``; the embedded network imitates VGG-19 with either.
        pooling_scale: factor on every pooling's output; see :func:`nstjax.nn.conv.pool2x2`.
        padding: of the first convolution alone: ``"zeros"`` as trained, or ``"replicate"``.
        convolution: ``"auto"`` or ``"plain"``; see :func:`nstjax.nn.conv.conv3x3`.
        precision: of the products, ``"float32"``, ``"tf32"`` (on a CPU the same) or ``"bfloat16"`` (that of all
            activations, too; relative error 1e-2). By default JAX's own: TF32 on an NVIDIA GPU, bfloat16 on a TPU.

    Returns:
        ``{name: (n, h', w', c)}`` in the order of depth, in the images' dtype.

    Raises:
        InputError: an unknown layer or one too deep for the network or the image; images of another shape or type.
    """
    one_of("pooling", pooling, get_args(Pooling))
    one_of("padding", padding, ("zeros", "replicate"))
    one_of("convolution", convolution, ("auto", "plain"))
    one_of("precision", precision or "float32", get_args(Precision))
    if images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(f"images have shape {images.shape}: they must be (n, height, width, 3)")
    check_floating("image", images)
    check_layers(backbone, layers)
    check_size(layers, images.shape[1], images.shape[2])
    found = _forward(
        backbone, images, tuple(layers), pooling, float(pooling_scale), padding, convolution, precision
    )
    return {name: found[name] for name in backbone.layers if name in found}  # jit sorts a dict's keys


def steps_to(arch: str, layer: str) -> tuple[str, ...]:
    """The operations up to a layer that look at more than one position: ``("conv", "conv", "pool", …)``."""
    names = layer_names(arch)
    kinds = (name.rstrip("0123456789_") for name in names[: names.index(layer) + 1])
    return tuple(kind for kind in kinds if kind != "relu")
