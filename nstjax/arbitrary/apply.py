"""Stylizes a photograph with any style images, in one pass."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.arbitrary.decoder import (
    DECODER_LAYERS,
    LEAST_DECODED_SIDE,
    MULTIPLE,
    DecoderConfig,
    DecoderParams,
    adapted,
    decode,
    describe_style,
    ordered,
    with_noise,
)
from nstjax.arbitrary.transport import (
    ActivationMoments,
    TransportMethod,
    blend,
    identity_like,
    moments_of,
    move,
    transport,
)
from nstjax.errors import InputError, within
from nstjax.images import fit_long_side, resize
from nstjax.nn.vgg import features
from nstjax.pixels import check_floating, check_range
from nstjax.typing import Backbone, Images

_BASE_BYTES = 0.7 * 2**30  # libraries, programs, small images
_COPIES = 2.0  # ratio of XLA's memory to the arrays that the decoder's steps need at once
_VALUES = 60  # values per pixel of the photograph, the network's activations and the result
STYLE_SIDE = 512  # default longer side of the style images in pixels


@dataclasses.dataclass(frozen=True)
class Decoder:
    """A trained decoder.

    Attributes:
        config: its settings.
        params: its weights, from :func:`nstjax.arbitrary.decoder.init_decoder`.
        sizes: root mean square of the activations of each layer, by which they are divided.
        record: facts of its training.
    """

    config: DecoderConfig
    params: DecoderParams = dataclasses.field(repr=False)
    sizes: tuple[float, ...]
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)


def encode(backbone: Backbone, images: Images) -> list[Array]:
    """Compute the activations at :data:`DECODER_LAYERS`, with the padding of a transfer.

    Args:
        backbone: the embedded network.
        images: ``(n, h, w, 3)`` in [0, 1]; sides are multiples of 16.
    """
    return ordered(features(backbone, images, DECODER_LAYERS, "max", padding="replicate"))


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
        sizes: sizes of the activations, see :class:`Decoder`.
        method: the map, see :mod:`nstjax.arbitrary.transport`.
    """
    return mixed_transport(content, [style], [1.0], sizes, method)


def mixed_transport(
    content: Sequence[Array],
    styles: Sequence[Sequence[ActivationMoments]],
    weights: Sequence[float | Array],
    sizes: Sequence[float],
    method: TransportMethod = "optimal",
    masks: Sequence[Array] | None = None,
) -> list[Array]:
    """Map the activations of the content to a blend of styles, or to a style in each region.

    Args:
        content: activations of the photographs at :data:`DECODER_LAYERS`, ``(n, h / 2^k, w / 2^k, c)``.
        styles: moments of each style's activations.
        weights: weight of each style; the rest to 1 is the weight of the activations as they are.
        sizes: sizes of the activations, see :class:`Decoder`.
        method: the map, see :mod:`nstjax.arbitrary.transport`.
        masks: for each layer, the share of each style at each position, ``(styles, h / 2^k, w / 2^k)``, with sums
            of at most 1; the rest stays as it is. A style's map is then made of the moments of the photograph in
            its region, and ``weights`` are strengths. None blends the styles everywhere.

    Returns:
        The activations, divided by their sizes.
    """
    found = []
    for layer, (x, size) in enumerate(zip(content, sizes, strict=True)):
        # Normalized first, so that the eigenvalues are of one magnitude in all layers.
        y = x / size
        scaled = [ActivationMoments(of[layer].mean / size, of[layer].covariance / size**2) for of in styles]
        if masks is None:
            own = moments_of(y)
            maps = [transport(own, of, method) for of in scaled]
            rest = 1 - sum(weights)
            found.append(move(y, blend([*maps, identity_like(maps[0])], [*weights, rest])))
            continue
        total = (1 - masks[layer].sum(0))[None, ..., None] * y
        for share, of, weight in zip(masks[layer], scaled, weights, strict=True):
            mapped = transport(moments_of(y, share[None] + 1e-6), of, method)
            moved = move(y, blend([mapped, identity_like(mapped)], [weight, 1 - weight]))
            total += share[None, ..., None] * moved
        found.append(total)
    return found


def padded(image: Images) -> Images:
    """Pad an image by reflection at the lower and right border, so that its sides are multiples of 16."""
    height, width = image.shape[1:3]
    return jnp.pad(image, ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)), mode="reflect")


@jax.jit
def _moments(backbone: Backbone, style: Images) -> list[ActivationMoments]:
    return [moments_of(x) for x in encode(backbone, padded(style))]


def style_moments(backbone: Backbone, style: Images, side: int = STYLE_SIDE) -> list[ActivationMoments]:
    """Compute mean and covariance of a style image's activations at :data:`DECODER_LAYERS`.

    Args:
        backbone: the embedded network.
        style: ``(1, h, w, 3)`` in [0, 1].
        side: longer side in pixels to which the image is resized; it is never enlarged.
    """
    height, width = style.shape[1:3]
    size = fit_long_side(height, width, min(side, max(height, width)))
    found: list[ActivationMoments] = _moments(backbone, jnp.asarray(resize(style, *size)).clip(0, 1))
    return found


@partial(jax.jit, static_argnames=("config", "sizes", "method"))
def _stylize(
    config: DecoderConfig,
    sizes: tuple[float, ...],
    method: TransportMethod,
    params: DecoderParams,
    backbone: Backbone,
    photo: Images,
    styles: Sequence[Sequence[ActivationMoments]],
    weights: Array,
    masks: Sequence[Array] | None,
    seed: Array,
) -> Images:
    height, width = photo.shape[1:3]
    content = encode(backbone, padded(photo))
    inputs = mixed_transport(content, styles, list(weights), sizes, method, masks)
    inputs = with_noise(config, inputs, jax.random.key(seed))
    own = describe_style([moments_of(x) for x in content], sizes)
    described = [describe_style(style, sizes) for style in styles]
    if masks is None:
        total = sum(w * d for w, d in zip(weights, described, strict=True)) + (1 - weights.sum()) * own
        return decode(config, adapted(config, params, total), inputs)[:, :height, :width].clip(0, 1)
    shares = [jnp.concatenate([mask, 1 - mask.sum(0, keepdims=True)]) for mask in masks]
    each = [adapted(config, params, w * d + (1 - w) * own) for w, d in zip(weights, described, strict=True)]
    each.append(adapted(config, params, own))  # for what no mask covers
    merged: dict[str, dict[str, Array]] = {}
    levels = {step.name: step.level for step in config.plan().steps}
    for name, leaves in each[0].items():
        merged[name] = leaves
        if "scale" in leaves:  # of a normalization: each region has its own
            share = shares[levels[name]][..., None]
            merged[name] = {
                key: (share * jnp.concatenate([one[name][key] for one in each])).sum(0, keepdims=True)
                for key in leaves
            }
    return decode(config, merged, inputs)[:, :height, :width].clip(0, 1)


def _levels(masks: Sequence[np.ndarray], height: int, width: int) -> list[Array]:
    """Return the shares of the regions at each layer, ``(styles, h / 2^k, w / 2^k)``, with sums of at most 1."""
    stack = np.stack([np.asarray(mask, np.float32) for mask in masks])
    if stack.shape[1:] != (height, width):
        raise InputError(
            f"a mask has shape {stack.shape[1:]}: it must be that of the photograph, {(height, width)}"
        )
    stack = stack / np.maximum(stack.sum(0), 1)
    stack = np.pad(stack, ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE)), mode="edge")
    found = []
    for level in range(len(DECODER_LAYERS)):
        k = 2**level
        count, high, wide = stack.shape
        found.append(jnp.asarray(stack.reshape(count, high // k, k, wide // k, k).mean((2, 4))))
    return found


def arbitrary_bytes(config: DecoderConfig, height: int, width: int) -> float:
    """Estimate the peak memory of :func:`stylize_arbitrary`.

    Args:
        config: settings of the decoder.
        height: height of the photograph in pixels.
        width: width of the photograph in pixels.

    Returns:
        Bytes, fitted to the peak memory of whole processes on a CPU.
    """
    return _BASE_BYTES + 4 * height * width * (_COPIES * config.plan().values_per_pixel() + _VALUES)


def stylize_arbitrary(
    decoder: Decoder,
    backbone: Backbone,
    photo: Images,
    styles: Images | Sequence[Images | list[ActivationMoments]],
    *,
    weights: Sequence[float] | None = None,
    masks: Sequence[np.ndarray] | None = None,
    strength: float = 1.0,
    method: TransportMethod = "optimal",
    style_side: int = STYLE_SIDE,
    seed: int = 0,
) -> np.ndarray:
    """Stylize a photograph with any style images, in one pass.

    A program is compiled for each size of the photograph.

    Args:
        decoder: the decoder, from :func:`nstjax.arbitrary.store.load_decoder`.
        backbone: the network with which the decoder was trained, the embedded one.
        photo: ``(1, h, w, 3)`` in [0, 1]; each side at least 32 pixels.
        styles: one style image, ``(1, h, w, 3)`` in [0, 1], or several. Instead of an image, the result of
            :func:`style_moments`, which saves time for several photographs.
        weights: weight of each style image; they are divided by their sum. By default equal.
        masks: a region of the photograph for each style image, ``(h, w)`` in [0, 1]; where regions overlap, the
            styles are blended, and what no region covers keeps the photograph. By default all styles are
            everywhere.
        strength: 0 reconstructs the photograph, 1 has the whole style.
        method: the map of the activations, see :mod:`nstjax.arbitrary.transport`.
        style_side: longer side in pixels to which the style images are resized; a smaller one gives finer strokes.
        seed: seed of the noise from which flat areas get their strokes.

    Returns:
        The picture, ``(1, h, w, 3)`` float32 in [0, 1].

    Raises:
        InputError: If an image, the weights, the masks or another argument is not valid.
    """
    images = [styles] if isinstance(styles, np.ndarray | jax.Array) else list(styles)
    pictures = [image for image in images if not isinstance(image, list)]
    for name, image in (("photo", photo), *(("styles", image) for image in pictures)):
        if image.ndim != 4 or image.shape[::3] != (1, 3) or min(image.shape[1:3]) < LEAST_DECODED_SIDE:
            raise InputError(
                f"`{name}` has shape {image.shape}: it must be (1, height, width, 3), with sides of {LEAST_DECODED_SIDE} pixels or more"
            )
        check_floating(name, image)
        check_range(name, np.asarray(image))
    within("strength", strength, 0, 1)
    within("style_side", style_side, LEAST_DECODED_SIDE, 4096)
    shares = np.ones(len(images)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(images),) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise InputError(
            f"`weights` is {weights}: give one number, 0 or more, for each of the {len(images)} style images"
        )
    if masks is not None and (len(masks) != len(images) or weights is not None):
        raise InputError("`masks` needs one mask for each style image, and no `weights`")
    shares = strength * (shares / shares.sum() if masks is None else shares)
    height, width = photo.shape[1:3]
    picture = _stylize(
        decoder.config,
        decoder.sizes,
        method,
        decoder.params,
        backbone,
        jnp.asarray(photo, jnp.float32),
        [of if isinstance(of, list) else style_moments(backbone, of, style_side) for of in images],
        jnp.asarray(shares, jnp.float32),
        None if masks is None else _levels(masks, height, width),
        jnp.uint32(seed),
    )
    return np.asarray(picture)
