"""VGG-16 and VGG-19 (Simonyan and Zisserman 2014, arXiv 1409.1556, table 1, columns D and E).

A network is a table of layer names and a pure function of a tree of weights. The three fully connected layers
are not used in style transfer and are left out.
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
    """Check the weights of a VGG network, and return it as a :class:`Backbone`.

    Args:
        params: the first ``k ≥ 1`` convolutions of ``arch``; deeper ones may be missing.
        arch: ``"vgg16"`` or ``"vgg19"``.
        preprocessing: preprocessing of the images that the weights were trained with.
        source: description of the source of the weights, for run records.
        sha256: hash of the weights file, for run records.

    Raises:
        InputError: If there is no convolution or one that ``arch`` does not have, a convolution is missing
            before the deepest one, or a kernel or bias has a wrong shape.
    """
    names = conv_names(arch)
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise InputError(f"the weights have {unknown[0]}, which {arch} does not have: is it another network?")
    deepest = max((names.index(name) for name in params), default=-1)
    if deepest < 0:
        raise InputError(f"the weights contain no convolution of {arch}: is it the right file?")
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
    """Convert sRGB images in [0, 1] to the input of the network.

    Args:
        images: ``(n, h, w, 3)``, RGB.
        how: channel order, scale, mean and standard deviation: ``(images · scale − mean) / std``.
    """
    x = jnp.asarray(images)
    if how.order == "BGR":
        x = x[..., ::-1]
    dtype = x.dtype
    return (x * how.scale - jnp.asarray(how.mean, dtype)) / jnp.asarray(how.std, dtype)


def check_layers(backbone: Backbone, layers: tuple[str, ...], option: str = "") -> None:
    """Raise :class:`InputError` unless the network has all of ``layers``.

    Args:
        backbone: the feature network.
        layers: names of the layers.
        option: the field that names them, for the message.
    """
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
    """Raise :class:`InputError` if an image is too small for one of ``layers``.

    Pooling needs two rows and two columns. A layer of block ``b`` therefore needs ``2^(b−1)`` rows and
    columns, and the pooling layer of block ``b`` needs ``2^b``.

    Args:
        layers: names of the layers.
        height: height of the image in pixels.
        width: width of the image in pixels.
        what: name of the image in the message.
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
    """Compute the activations; see :func:`features`."""
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
    """Return every layer to compute, shallow to deep. An embedded network may lack convolutions of VGG-19."""
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
    """Return the number of values that the convolutions compute per pixel of the image.

    Args:
        backbone: the feature network.
        layers: layers to compute; all convolutions up to the deepest of them are counted.
    """
    names = operations(backbone)
    total, cells = 0.0, 1
    for name in names[: 1 + max((names.index(layer) for layer in layers), default=-1)]:
        if name.startswith("conv"):
            total += backbone.params[name]["bias"].shape[0] / cells
        elif name.startswith("pool"):
            cells *= 4
    return total


def _project(x: jax.Array, weights: Mapping[str, jax.Array]) -> jax.Array:
    """Apply the linear head of a small network to its activations. VGG has no heads."""
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
    """Compute the activations of named layers, and no layer deeper than the deepest of them.

    Args:
        backbone: feature network from :func:`nstjax.load_backbone`.
        images: ``(n, h, w, 3)``, sRGB in [0, 1], of a floating dtype. Values outside [0, 1] are used as they
            are. Integers are refused: divide 8-bit values by 255.
        layers: names such as ``"conv4_2"``, ``"relu4_2"``, ``"pool4"``.
        pooling: ``"max"``, as in VGG's training, or ``"average"``. The embedded network was trained for both.
        pooling_scale: factor on the output of every pooling layer; see :func:`nstjax.nn.conv.pool2x2`.
        padding: padding of the first convolution only: ``"zeros"`` as in training, or ``"replicate"``.
        convolution: ``"auto"`` or ``"plain"``; see :func:`nstjax.nn.conv.conv3x3`.
        precision: precision of the products: ``"float32"``, ``"tf32"`` (the same as float32 on a CPU), or
            ``"bfloat16"``, in which all activations are computed, too (relative error 1e-2). Other precisions
            compute in the dtype of the images. None uses JAX's default: TF32 on an NVIDIA GPU, bfloat16 on a
            TPU.

    Returns:
        ``{name: (n, h', w', c)}``, shallow to deep, in the dtype of the images.

    Raises:
        InputError: If a layer is unknown or too deep for the network or the image, an option has an unknown
            value, or the images have a wrong shape or dtype.
    """
    one_of("pooling", pooling, get_args(Pooling))
    one_of("padding", padding, ("zeros", "replicate"))
    one_of("convolution", convolution, ("auto", "plain"))
    one_of("precision", precision or "float32", get_args(Precision))
    if images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(f"images have shape {images.shape}: they must be (n, height, width, 3)")
    check_floating("image", images)
    if isinstance(layers, str):
        raise InputError(f"`layers` is the string {layers!r}: give a tuple of names, such as ({layers!r},)")
    check_layers(backbone, layers)
    check_size(layers, images.shape[1], images.shape[2])
    found = _forward(
        backbone, images, tuple(layers), pooling, float(pooling_scale), padding, convolution, precision
    )
    return {name: found[name] for name in backbone.layers if name in found}  # jit sorts a dict's keys


def steps_to(arch: str, layer: str) -> tuple[str, ...]:
    """Return the convolutions and poolings up to a layer: ``("conv", "conv", "pool", …)``.

    Args:
        arch: ``"vgg16"``, ``"vgg19"`` or ``"embedded"``, which has the steps of VGG-19.
        layer: name of the layer.
    """
    names = layer_names(arch)
    kinds = (name.rstrip("0123456789_") for name in names[: names.index(layer) + 1])
    return tuple(kind for kind in kinds if kind != "relu")
