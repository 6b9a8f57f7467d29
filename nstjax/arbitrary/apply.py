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
from nstjax.generators import pad_to_multiple
from nstjax.images import fit_long_side, resize
from nstjax.nn.vgg import features
from nstjax.pixels import check_image
from nstjax.typing import Backbone, Images

_BASE_BYTES = 0.7 * 2**30  # libraries, programs, small images
_COPIES = 2.0  # ratio of XLA's memory to the arrays that the decoder's steps need at once
_VALUES = 60  # values per pixel of the photograph, the network's activations and the result
_REGION_VALUES = 80  # values per pixel of each region: its mapped activations, scales and biases
MAX_STYLE_SIDE = 4096
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
        weights: weight of each style; the remaining weight, 1 − Σ, is that of the unchanged activations.
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


@dataclasses.dataclass(frozen=True)
class PreparedStyle:
    """A style image as :func:`stylize_arbitrary` uses it.

    Attributes:
        moments: moments of its activations at :data:`DECODER_LAYERS`.
    """

    moments: tuple[ActivationMoments, ...]


@jax.jit
def _moments(backbone: Backbone, style: Images) -> list[ActivationMoments]:
    return [moments_of(x) for x in encode(backbone, pad_to_multiple(style, MULTIPLE))]


def prepare_style(backbone: Backbone, style: Images, side: int = STYLE_SIDE) -> PreparedStyle:
    """Compute mean and covariance of a style image's activations at :data:`DECODER_LAYERS`.

    Args:
        backbone: the embedded network.
        style: ``(1, h, w, 3)`` in [0, 1].
        side: longer side in pixels to which the image is resized; it is never enlarged.

    Raises:
        InputError: If the image is not valid, or its shorter side then has less than 32 pixels.
    """
    image = check_image("style", style)
    within("style_size", side, LEAST_DECODED_SIDE, MAX_STYLE_SIDE)
    height, width = image.shape[1:3]
    height, width = fit_long_side(height, width, min(side, max(height, width)))
    if min(height, width) < LEAST_DECODED_SIDE:
        raise InputError(
            f"the style image has {width}×{height} pixels at this size: its shorter side must have {LEAST_DECODED_SIDE}"
        )
    return PreparedStyle(tuple(_moments(backbone, jnp.asarray(resize(image, height, width)).clip(0, 1))))


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
    content = encode(backbone, pad_to_multiple(photo, MULTIPLE))
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
        if "scale" in leaves:  # each region has its own
            share = shares[levels[name]][..., None]
            merged[name] = {
                key: (share * jnp.concatenate([one[name][key] for one in each])).sum(0, keepdims=True)
                for key in leaves
            }
    covered = masks[0].sum(0)[None, :height, :width, None]
    return covered * decode(config, merged, inputs)[:, :height, :width].clip(0, 1) + (1 - covered) * photo


def _levels(masks: Sequence[np.ndarray], height: int, width: int) -> list[Array]:
    """Return the shares of the regions at each layer, ``(styles, h / 2^k, w / 2^k)``, with sums of at most 1."""
    for mask in masks:
        if np.shape(mask) != (height, width):
            raise InputError(
                f"a mask has shape {np.shape(mask)}: it must be that of the photograph, {(height, width)}"
            )
        if not (np.min(mask) >= 0 and np.max(mask) <= 1):  # also of NaN
            raise InputError("a mask has values outside [0, 1]")
    stack = np.stack([np.asarray(mask, np.float32) for mask in masks])
    stack = stack / np.maximum(stack.sum(0), 1)
    stack = np.pad(stack, ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE)), mode="edge")
    found = []
    for level in range(len(DECODER_LAYERS)):
        k = 2**level
        count, high, wide = stack.shape
        found.append(jnp.asarray(stack.reshape(count, high // k, k, wide // k, k).mean((2, 4))))
    return found


def check_network(decoder: Decoder, backbone: Backbone) -> None:
    """Check that a network is the one with which a decoder was trained.

    Raises:
        InputError: If it is not.
    """
    trained: Any = decoder.record.get("weights", {})
    wanted = trained.get("sha256", backbone.sha256) if isinstance(trained, dict) else backbone.sha256
    if wanted != backbone.sha256 or not set(DECODER_LAYERS) <= set(backbone.layers):
        raise InputError(
            "the feature network is not the one with which the decoder was trained: use the embedded network of this version"
        )


def arbitrary_bytes(config: DecoderConfig, height: int, width: int, regions: int = 0) -> float:
    """Estimate the peak memory of :func:`stylize_arbitrary`.

    Args:
        config: settings of the decoder.
        height: height of the photograph in pixels.
        width: width of the photograph in pixels.
        regions: number of masks.

    Returns:
        Bytes, fitted to the peak memory of whole processes on a CPU.
    """
    values = _COPIES * config.plan().values_per_pixel() + _VALUES + _REGION_VALUES * regions
    return _BASE_BYTES + 4 * height * width * values


def stylize_arbitrary(
    decoder: Decoder,
    backbone: Backbone,
    photo: Images,
    styles: Images | PreparedStyle | Sequence[Images | PreparedStyle],
    *,
    weights: Sequence[float] | None = None,
    masks: Sequence[np.ndarray] | None = None,
    strength: float = 1.0,
    method: TransportMethod = "optimal",
    style_size: int = STYLE_SIDE,
    seed: int = 0,
) -> np.ndarray:
    """Stylize a photograph with any style images, in one pass.

    A program is compiled for each size of the photograph.

    Args:
        decoder: the decoder, from :func:`nstjax.arbitrary.store.load_decoder`.
        backbone: the network with which the decoder was trained, the embedded one.
        photo: ``(1, h, w, 3)`` in [0, 1]; each side at least 32 pixels.
        styles: one style image, ``(1, h, w, 3)`` in [0, 1], or several. Instead of an image, the result of
            :func:`prepare_style`, which saves time for several photographs.
        weights: weight of each style image; they are divided by their sum. By default equal.
        masks: a region of the photograph for each style image, ``(h, w)`` in [0, 1]; where regions overlap, the
            styles are blended, and what no region covers keeps the photograph. By default all styles are
            everywhere.
        strength: 1 has the whole style; 0 reconstructs the photograph, approximately.
        method: the map of the activations, see :mod:`nstjax.arbitrary.transport`.
        style_size: longer side in pixels to which the style images are resized; a smaller one gives finer strokes. Prepared
            styles keep their size.
        seed: seed of the noise from which flat areas get their strokes.

    Returns:
        The picture, ``(1, h, w, 3)`` float32 in [0, 1].

    Raises:
        InputError: If an image, the weights, the masks or another argument is not valid.
    """
    images = [styles] if isinstance(styles, np.ndarray | jax.Array | PreparedStyle) else list(styles)
    photo = check_image("photo", photo)
    height, width = photo.shape[1:3]
    if min(height, width) < LEAST_DECODED_SIDE:
        raise InputError(
            f"`photo` has {width}×{height} pixels: each side must have {LEAST_DECODED_SIDE} or more"
        )
    check_network(decoder, backbone)
    within("strength", strength, 0, 1)
    within("seed", seed, 0, 2**32 - 1)
    shares = np.ones(len(images)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(images),) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise InputError(
            f"`weights` is {weights}: give one number, 0 or more, for each of the {len(images)} style images"
        )
    if masks is not None and (len(masks) != len(images) or weights is not None):
        raise InputError("`masks` needs one mask for each style image, and no `weights`")
    shares = strength * (shares / shares.sum() if masks is None else shares)
    prepared = [
        of if isinstance(of, PreparedStyle) else prepare_style(backbone, of, style_size) for of in images
    ]
    picture = _stylize(
        decoder.config,
        decoder.sizes,
        method,
        decoder.params,
        backbone,
        photo,
        [list(of.moments) for of in prepared],
        jnp.asarray(shares, jnp.float32),
        None if masks is None else _levels(masks, height, width),
        jnp.uint32(seed),
    )
    return np.asarray(picture)
