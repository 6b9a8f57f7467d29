"""The stages of one pass in the style of any image: activations, maps, picture.

The first and the last are compiled programs. NumPy computes the maps, because their matrices are small, and XLA takes two
seconds to compile them.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.arbitrary.decoder import (
    DECODER_LAYERS,
    MULTIPLE,
    DecoderConfig,
    DecoderParams,
    decode,
    describe_style,
    ordered,
    style_scales,
    with_noise,
)
from nstjax.arbitrary.transport import (
    ActivationMoments,
    AffineMap,
    TransportMethod,
    blend,
    identity_like,
    moments_of,
    move,
    transport,
)
from nstjax.generators import pad_to_multiple
from nstjax.images import resize
from nstjax.nn.vgg import features
from nstjax.typing import Backbone, Images


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Constants of a pass.

    Attributes:
        config: settings of the decoder.
        sizes: root mean square of the activations of each layer, by which they are divided.
        method: the map, see :mod:`nstjax.arbitrary.transport`.
    """

    config: DecoderConfig
    sizes: tuple[float, ...]
    method: TransportMethod = "optimal"


class Analysis(NamedTuple):
    """The activations of the input of one scale: the photograph, or its mean with the coarser picture.

    Attributes:
        photo: the photograph at this scale, ``(n, h, w, 3)``.
        activations: activations of the input at :data:`DECODER_LAYERS`, divided by their sizes,
            ``(n, h / 2^k, w / 2^k, c)``.
        moments: their moments over the whole image.
        regions: for each mask, their moments in its region. Empty without masks.
    """

    photo: Images
    activations: list[Array]
    moments: list[ActivationMoments]
    regions: list[list[ActivationMoments]]


class Adaptation(NamedTuple):
    """The maps of the activations, and the decoder's scales and biases.

    Attributes:
        maps: for each region, or once without masks, the map of each layer.
        scales: for each of them the result of :func:`nstjax.arbitrary.decoder.style_scales`; with masks, last those of
            the input.
    """

    maps: list[list[AffineMap]]
    scales: list[DecoderParams]


def outline(config: DecoderConfig, size: tuple[int, int], regions: int = 0) -> tuple[Analysis, Adaptation]:
    """Return the shapes and dtypes of the results of :func:`analyze` and :func:`adapt`, without computing them.

    Args:
        config: settings of the decoder.
        size: height and width of the photograph at this scale in pixels.
        regions: number of masks.
    """

    def array(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    height, width = (side + -side % MULTIPLE for side in size)
    channels = config.inputs
    activations = [array(1, height >> k, width >> k, c) for k, c in enumerate(channels)]
    moments = [ActivationMoments(array(1, c), array(1, c, c)) for c in channels]
    maps = [AffineMap(array(1, c, c), array(1, c)) for c in channels]
    scales: DecoderParams = {
        step.name: {"scale": array(1, 1, 1, step.channels), "bias": array(1, 1, 1, step.channels)}
        for step in config.plan().steps
        if step.op in ("norm", "scale")
    }
    return (
        Analysis(array(1, *size, 3), activations, moments, [moments] * regions),
        Adaptation([maps] * max(1, regions), [scales] * (regions + 1)),
    )


def encode(backbone: Backbone, images: Images) -> list[Array]:
    """Compute the activations at :data:`DECODER_LAYERS`, with the padding of a transfer.

    Args:
        backbone: the embedded network.
        images: ``(n, h, w, 3)`` in [0, 1]; sides are multiples of 16.
    """
    # XLA's own convolutions: Winograd's algorithm saves little time here, and takes two seconds to compile.
    return ordered(
        features(backbone, images, DECODER_LAYERS, "max", padding="replicate", convolution="plain")
    )


def started(photo: Images, coarse: Images, strength: float | Array = 1.0) -> Images:
    """Return the input of a finer scale: the mean of the photograph and the coarser picture.

    Args:
        photo: ``(n, h, w, 3)`` in [0, 1].
        coarse: the picture at a coarser scale, ``(n, h', w', 3)`` in [0, 1].
        strength: strength of the style, a number or ``(n, h, w, 1)``; with less, less of the coarser picture is used,
            so that strength 0 keeps the details of the photograph.
    """
    return photo + strength / 2 * (resize(coarse, photo.shape[1], photo.shape[2], "linear") - photo)


def transported(
    content: Sequence[Array],
    style: Sequence[ActivationMoments],
    sizes: Sequence[float],
    method: TransportMethod = "optimal",
) -> list[Array]:
    """Map the activations of the content to the moments of a style, and divide them by the layers' sizes.

    Args:
        content: activations of the photographs at :data:`DECODER_LAYERS`, ``(n, h / 2^k, w / 2^k, c)``.
        style: moments of the style images' activations, of ``n`` images or one.
        sizes: see :class:`Recipe`.
        method: the map, see :mod:`nstjax.arbitrary.transport`.
    """
    divided = [x / size for x, size in zip(content, sizes, strict=True)]
    targets = [_scaled(of, size) for of, size in zip(style, sizes, strict=True)]
    return [move(x, transport(moments_of(x), of, method)) for x, of in zip(divided, targets, strict=True)]


def _scaled(moments: ActivationMoments, size: float) -> ActivationMoments:
    """Return the moments of the activations divided by ``size``."""
    return ActivationMoments(moments.mean / size, moments.covariance / size**2)


@partial(jax.jit, static_argnums=2)
def style_moments(backbone: Backbone, style: Images, multiple: int) -> list[ActivationMoments]:
    """Compute the moments of a style image at :data:`DECODER_LAYERS`; its sides are padded to multiples of ``multiple``."""
    return [moments_of(x) for x in encode(backbone, pad_to_multiple(style, multiple))]


@partial(jax.jit, static_argnums=5)
def analyze(
    backbone: Backbone,
    photo: Images,
    coarse: Images | None,
    masks: Sequence[Array] | None,
    weights: Array,
    sizes: tuple[float, ...],
) -> Analysis:
    """Compute the activations of the input of one scale, and their moments.

    Args:
        backbone: the embedded network.
        photo: the photograph at this scale, ``(1, h, w, 3)`` in [0, 1].
        coarse: the picture of the next coarser scale, enlarged to this scale, or None.
        masks: shares of the regions at each layer at this scale, ``(regions, h / 2^k, w / 2^k)``, or None.
        weights: as for :func:`adapt`.
        sizes: see :class:`Recipe`.
    """
    height, width = photo.shape[1:3]
    image: Any
    if coarse is None:
        image = photo
    elif masks is None:
        image = started(photo, coarse, weights.sum())
    else:
        strength = jnp.einsum("r,rhw->hw", weights, masks[0])[None, :height, :width, None]
        image = started(photo, coarse, strength)
    found = encode(backbone, pad_to_multiple(image, MULTIPLE))
    # Divided first, so that the eigenvalues are of one magnitude in all layers.
    activations = [x / size for x, size in zip(found, sizes, strict=True)]
    regions = (
        []
        if masks is None
        else [
            [moments_of(x, of[number][None] + 1e-6) for x, of in zip(activations, masks, strict=True)]
            for number in range(masks[0].shape[0])
        ]
    )
    return Analysis(photo, activations, [moments_of(x) for x in activations], regions)


def adapt(
    params: DecoderParams,
    moments: Sequence[ActivationMoments],
    regions: Sequence[Sequence[ActivationMoments]],
    styles: Sequence[Sequence[ActivationMoments]],
    weights: np.ndarray,
    recipe: Recipe,
) -> Adaptation:
    """Compute the maps of the activations to the styles' moments, and the decoder's scales. All arrays are of NumPy.

    Args:
        params: weights of the decoder; its convolutions are not used.
        moments: those of the input, from :func:`analyze`.
        regions: those of its regions; empty without masks.
        styles: moments of each style's activations, not divided by the sizes.
        weights: weight of each style, ``(styles,)``. Without regions, the remaining weight, 1 − Σ, is that of the
            unchanged activations. With regions they are strengths, and each style belongs to one region.
        recipe: constants.
    """
    sizes, method = recipe.sizes, recipe.method
    own = describe_style(moments, (1.0,) * len(sizes))
    described = [describe_style(style, sizes) for style in styles]
    targets = [[_scaled(of, size) for of, size in zip(style, sizes, strict=True)] for style in styles]
    if regions:
        maps = []
        for source, target, weight in zip(regions, targets, weights, strict=True):
            found = [transport(a, b, method) for a, b in zip(source, target, strict=True)]
            maps.append([blend([x, identity_like(x)], [weight, 1 - weight]) for x in found])
        mixed = [*(w * d + (1 - w) * own for w, d in zip(weights, described, strict=True)), own]
    else:
        rest, layers = 1 - weights.sum(), []
        for layer, of in enumerate(moments):
            found = [transport(of, target[layer], method) for target in targets]
            layers.append(blend([*found, identity_like(found[0])], [*weights, rest]))
        maps = [layers]
        mixed = [sum((w * d for w, d in zip(weights, described, strict=True)), rest * own)]
    return Adaptation(maps, [style_scales(recipe.config, params, one) for one in mixed])


@partial(jax.jit, static_argnums=5)
def paint_scale(
    kernels: DecoderParams,
    analysis: Analysis,
    adaptation: Adaptation,
    masks: Sequence[Array] | None,
    noise: Sequence[Array],
    config: DecoderConfig,
) -> Images:
    """Compute the picture of one scale, ``(1, h, w, 3)`` in [0, 1].

    Args:
        kernels: from :func:`nstjax.arbitrary.decoder.convolutions`.
        analysis: from :func:`analyze`.
        adaptation: from :func:`adapt`.
        masks: as for :func:`analyze`.
        noise: see :func:`nstjax.arbitrary.decoder.with_noise`.
        config: settings of the decoder.
    """
    maps, scales = adaptation
    height, width = analysis.photo.shape[1:3]
    if masks is None:
        mapped = [move(x, by) for x, by in zip(analysis.activations, maps[0], strict=True)]
        weights = {**kernels, **scales[0]}
    else:
        shares = [jnp.concatenate([mask, 1 - mask.sum(0, keepdims=True)])[..., None] for mask in masks]
        mapped = [
            share[-1:] * x + sum(share[i : i + 1] * move(x, by[layer]) for i, by in enumerate(maps))
            for layer, (x, share) in enumerate(zip(analysis.activations, shares, strict=True))
        ]
        weights = {**kernels, **_in_regions(config, scales, shares)}
    inputs = with_noise(mapped, noise)
    picture = decode(config, weights, inputs)[:, :height, :width].clip(0, 1)
    if masks is None:
        return picture
    covered = masks[0].sum(0)[None, :height, :width, None]
    return covered * picture + (1 - covered) * analysis.photo


def _in_regions(
    config: DecoderConfig, each: Sequence[DecoderParams], shares: Sequence[Array]
) -> DecoderParams:
    """Return the decoder's scales and biases, which differ from region to region.

    Args:
        config: settings of the decoder.
        each: those for the style of each region, and last for what no mask covers.
        shares: for each layer the share of each of them, ``(regions + 1, h / 2^k, w / 2^k, 1)``.
    """
    levels = {step.name: step.level for step in config.plan().steps}
    return {
        name: {
            key: (shares[levels[name]] * jnp.concatenate([one[name][key] for one in each])).sum(
                0, keepdims=True
            )
            for key in leaves
        }
        for name, leaves in each[0].items()
    }
