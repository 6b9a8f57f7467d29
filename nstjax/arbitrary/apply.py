"""Stylizes a photograph with any style images, in one pass."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax import programs
from nstjax.arbitrary.decoder import (
    DECODER_LAYERS,
    LEAST_DECODED_SIDE,
    MULTIPLE,
    DecoderConfig,
    DecoderParams,
    convolutions,
)
from nstjax.arbitrary.stages import (
    Analysis,
    Recipe,
    adapt,
    analyze,
    outline,
    paint_scale,
    style_moments,
)
from nstjax.arbitrary.transport import ActivationMoments, TransportMethod
from nstjax.errors import InputError, one_of, within
from nstjax.images import fit_long_side, resize
from nstjax.images.masks import resize_mask
from nstjax.pixels import check_image
from nstjax.typing import Backbone, Images

_BASE_BYTES = 0.7 * 2**30  # libraries, programs, small images
_COPIES = 2.0  # ratio of XLA's memory to the arrays that the decoder's steps need at once
_VALUES = 60  # values per pixel of the photograph, the network's activations and the result
_REGION_VALUES = 80  # values per pixel of each region: its mapped activations, scales and biases
MAX_STYLE_SIDE = 4096
STYLE_SIDE = 512  # default longer side of the style images in pixels
COARSEST_SIDE = 256  # longer side in pixels of the coarsest scale, approximately, by default
MAX_SCALES = 8


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


@dataclasses.dataclass(frozen=True)
class PreparedStyle:
    """A style image as :func:`stylize_arbitrary` uses it.

    Attributes:
        moments: moments of its activations at :data:`DECODER_LAYERS`.
    """

    moments: tuple[ActivationMoments, ...]


def style_pixels(style: Images, side: int = STYLE_SIDE) -> tuple[int, int]:
    """Return the height and width at which :func:`prepare_style` uses a style image.

    Args:
        style: ``(1, h, w, 3)``.
        side: longer side in pixels to which the image is resized; it is never enlarged.

    Raises:
        InputError: If ``side`` is out of range, or the shorter side would have less than 32 pixels.
    """
    within("style_size", side, LEAST_DECODED_SIDE, MAX_STYLE_SIDE)
    height, width = style.shape[1:3]
    height, width = fit_long_side(height, width, min(side, max(height, width)))
    if min(height, width) < LEAST_DECODED_SIDE:
        raise InputError(
            f"the style image has {width}×{height} pixels at this size: its shorter side must have {LEAST_DECODED_SIDE}"
        )
    return height, width


def _style_request(backbone: Backbone, style: Any) -> programs.ProgramRequest:
    """Return the program of :func:`prepare_style` for a resized style image, or for its shape and dtype."""
    return programs.ProgramRequest(style_moments, (backbone, style), MULTIPLE, optimize=False)


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
    image = resize(image, *style_pixels(image, side)).clip(0, 1)
    found = programs.run(*_style_request(backbone, image))
    return PreparedStyle(tuple(jax.device_get(found)))


def default_scale_count(height: int, width: int) -> int:
    """Return the default number of scales of a photograph: the coarsest has about :data:`COARSEST_SIDE` pixels.

    Args:
        height: height of the photograph in pixels.
        width: width of the photograph in pixels.
    """
    count = max(1, round(math.log2(max(height, width) / COARSEST_SIDE)) + 1)
    while min(height, width) >> (count - 1) < LEAST_DECODED_SIDE and count > 1:
        count -= 1
    return count


def scale_sizes(height: int, width: int, scale_count: int | None = None) -> list[tuple[int, int]]:
    """Return the height and width of a photograph at each scale, from coarse to fine.

    Args:
        height: height of the photograph in pixels.
        width: width of the photograph in pixels.
        scale_count: number of scales; by default :func:`default_scale_count`.

    Raises:
        InputError: If the number is out of range, or the coarsest scale would be too small.
    """
    count = default_scale_count(height, width) if scale_count is None else scale_count
    within("scale_count", count, 1, MAX_SCALES)
    if min(height, width) >> (count - 1) < LEAST_DECODED_SIDE:
        raise InputError(
            f"`scale_count` is {count}: the coarsest scale of {width}×{height} pixels would have sides of less than "
            f"{LEAST_DECODED_SIDE}; choose fewer"
        )
    return [(height >> step, width >> step) for step in reversed(range(count))]


def _checked_masks(masks: Sequence[np.ndarray], height: int, width: int) -> list[np.ndarray]:
    """Return the masks as float32, or raise :class:`InputError`."""
    for mask in masks:
        if np.shape(mask) != (height, width):
            raise InputError(
                f"a mask has shape {np.shape(mask)}: it must be that of the photograph, {(height, width)}"
            )
        if not (np.min(mask) >= 0 and np.max(mask) <= 1):  # also of NaN
            raise InputError("a mask has values outside [0, 1]")
    return [np.asarray(mask, np.float32) for mask in masks]


def _levels(masks: Sequence[np.ndarray], size: tuple[int, int]) -> list[Array]:
    """Return the shares of the regions at each layer, ``(styles, h / 2^k, w / 2^k)``, with sums of at most 1."""
    stack = np.stack([resize_mask(mask, *size) for mask in masks])
    stack = stack / np.maximum(stack.sum(0), 1)
    stack = np.pad(stack, ((0, 0), (0, -size[0] % MULTIPLE), (0, -size[1] % MULTIPLE)), mode="edge")
    found = []
    for level in range(len(DECODER_LAYERS)):
        k = 2**level
        count, high, wide = stack.shape
        found.append(jnp.asarray(stack.reshape(count, high // k, k, wide // k, k).mean((2, 4))))
    return found


def _noise_shapes(config: DecoderConfig, analysis: Analysis) -> list[tuple[int, ...]]:
    """Return the shapes of the noise beside the activations."""
    return [(*x.shape[:3], config.noise) for x in analysis.activations]


def _noise(config: DecoderConfig, analysis: Analysis, seed: int) -> list[np.ndarray]:
    """Draw the noise of one scale. NumPy draws it, because JAX's random numbers take a second to compile."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in _noise_shapes(config, analysis)]


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
    scale_count: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Stylize a photograph with any style images, in one pass.

    The pass runs once per scale, from coarse to fine. Coarse scales make large strokes; each finer scale starts from the
    mean of the photograph and the enlarged coarser picture. Each new photograph size compiles new programs.

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
        scale_count: number of scales; 1 uses only the full size. By default :func:`default_scale_count`.
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
    one_of("method", method, get_args(TransportMethod))
    sizes = scale_sizes(height, width, scale_count)
    known = None if masks is None else _checked_masks(masks, height, width)
    shares = strength * (shares / shares.sum() if masks is None else shares)
    recipe = Recipe(decoder.config, decoder.sizes, method)
    unprepared = [check_image("style", of) for of in images if not isinstance(of, PreparedStyle)]
    prepare_programs(
        decoder,
        backbone,
        photo.shape,
        unprepared,
        style_size=style_size,
        styles=len(images),
        masked=masks is not None,
        scale_count=scale_count,
    )
    prepared = [
        of if isinstance(of, PreparedStyle) else prepare_style(backbone, of, style_size) for of in images
    ]
    moments, share = [list(of.moments) for of in prepared], np.asarray(shares, np.float32)
    kernels, picture = convolutions(decoder.config, decoder.params), None
    scale_params = jax.device_get(
        {name: leaves for name, leaves in decoder.params.items() if name not in kernels}
    )
    for size in sizes:
        levels = None if known is None else _levels(known, size)
        small = resize(photo, *size).clip(0, 1)
        coarse = None if picture is None else resize(np.asarray(picture), *size, "linear")
        finest = size == (height, width)
        analysis = programs.run(
            analyze, (backbone, small, coarse, levels, share), decoder.sizes, optimize=finest
        )
        own, regions = jax.device_get((analysis.moments, analysis.regions))
        adaptation = adapt(scale_params, own, regions, moments, share, recipe)
        noise = _noise(decoder.config, analysis, seed)
        picture = programs.run(paint_scale, (kernels, analysis, adaptation, levels, noise), decoder.config)
    return np.asarray(picture)


def prepare_programs(
    decoder: Decoder,
    backbone: Backbone,
    shape: Sequence[int],
    images: Sequence[Images],
    *,
    style_size: int = STYLE_SIDE,
    styles: int,
    masked: bool = False,
    scale_count: int | None = None,
) -> None:
    """Load or compile in parallel the programs that :func:`prepare_style` and :func:`stylize_arbitrary` use.

    Both work without it. Programs are kept only if the compilation cache is enabled
    (:func:`nstjax.programs.enable_compilation_cache`).

    Args:
        decoder: the decoder.
        backbone: the network with which the decoder was trained.
        shape: shape of the photograph, ``(1, h, w, 3)``.
        images: style images that are not prepared yet, ``(1, h, w, 3)``; only their shapes are used.
        style_size: longer side in pixels to which they are resized.
        styles: number of styles.
        masked: each style has a region.
        scale_count: number of scales; by default :func:`default_scale_count`.

    Raises:
        InputError: If the number of scales or a style image does not fit.
    """
    config, (height, width) = decoder.config, shape[1:3]

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    kernels = convolutions(config, decoder.params)
    requests: list[programs.ProgramRequest] = []
    for size in scale_sizes(height, width, scale_count):
        analysis, adaptation = outline(config, size, styles if masked else 0)
        coarse = analysis.photo if requests else None
        levels = [array(styles, *x.shape[1:3]) for x in analysis.activations] if masked else None
        noise = [array(*shape) for shape in _noise_shapes(config, analysis)]
        arguments = (kernels, analysis, adaptation, levels, noise)
        requests = [
            programs.ProgramRequest(paint_scale, arguments, config),
            programs.ProgramRequest(
                analyze,
                (backbone, analysis.photo, coarse, levels, array(styles)),
                decoder.sizes,
                optimize=size == (height, width),
            ),
            *requests,
        ]
    # The longest compilations first, so that all cores are busy until the end.
    shapes = [array(1, *style_pixels(image, style_size), 3) for image in images]
    programs.prepare(requests + [_style_request(backbone, one) for one in shapes])
