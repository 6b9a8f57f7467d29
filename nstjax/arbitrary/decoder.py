"""The decoder: a network from transported activations to an image, which adapts to the moments of the style.

Its inputs are the activations of the content at five layers, each mapped to the style's mean and covariance
(:mod:`nstjax.arbitrary.transport`). The scales and biases after its convolutions are computed from the style's
means and standard deviations, as in Ghiasi et al. (2017, arXiv 1705.06830), where a second network predicts them from
the style image.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.arbitrary.transport import ActivationMoments, array_library
from nstjax.errors import InputError, check_choices, within
from nstjax.generators.plan import GeneratorPlan, LayerStep, Op
from nstjax.generators.steps import apply_plan
from nstjax.nn.table import FIRST_RELUS
from nstjax.typing import Features, Images

DECODER_LAYERS = FIRST_RELUS
MULTIPLE = 2 ** (len(DECODER_LAYERS) - 1)  # sides of images are multiples of this
LEAST_DECODED_SIDE = 2 * MULTIPLE  # pixels; the deepest layer needs two positions for the reflection
DecoderParams = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Settings of the decoder.

    Attributes:
        inputs: number of channels of the activations at :data:`DECODER_LAYERS`.
        channels: number of channels of the decoder at the resolution of each layer, shallow to deep.
        code: number of values that describe a style.
        noise: number of channels of noise beside the activations of each layer. A flat area, whose activations
            are the same everywhere, gets strokes from it; without noise the network fills it with a grid.
        blocks: number of residual blocks at the resolution of each layer, shallow to deep. Those of the deep layers
            are cheap and let the network draw large forms.
        norm: normalize after each convolution except the last. If False, a convolution is followed only by the
            scale and the bias of the style. The inputs have the moments of the style already, so that a
            normalization is not necessary, and without it the network cannot change the contrast of the whole
            picture with one bright spot (Karras et al. 2020, arXiv 1912.04958, section 2, "droplet artifacts").
        upsampling: ``"nearest"`` or ``"bilinear"``, followed by a convolution (Odena et al. 2016).

    Raises:
        InputError: If a field is outside its range.
    """

    inputs: tuple[int, ...] = (16, 48, 96, 160, 320)
    channels: tuple[int, ...] = (16, 32, 64, 128, 192)
    code: int = 64
    noise: int = 2
    blocks: tuple[int, ...] = (0, 0, 0, 0, 0)
    norm: bool = True
    upsampling: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self) -> None:
        for name, least in (("inputs", 1), ("channels", 1), ("blocks", 0)):
            values = getattr(self, name)
            if len(values) != len(DECODER_LAYERS):
                raise InputError(
                    f"`{name}` has {len(values)} values: give {len(DECODER_LAYERS)}, one for each layer"
                )
            for value in values:
                within(name, value, least, 1024)
        check_choices(self)
        within("code", self.code, 1, 1024)
        within("noise", self.noise, 0, 64)

    def plan(self) -> GeneratorPlan:
        """Return the steps of the decoder, from the deepest layer to the image."""
        steps: list[LayerStep] = []
        norm: Op = "norm" if self.norm else "scale"

        def conv(
            name: str, source: str, channels: int, level: int, *, relu: bool = True, **options: Any
        ) -> str:
            steps.append(
                LayerStep(name, "conv", (source,), channels, level, kernel=3, padding="reflect", **options)
            )
            steps.append(LayerStep(f"{name}_norm", norm, (name,), channels, level))
            if relu:
                steps.append(LayerStep(f"{name}_relu", "relu", (f"{name}_norm",), channels, level))
            return steps[-1].name

        def blocks(into: str, level: int) -> str:
            width = self.channels[level]
            for number in range(self.blocks[level]):
                name = f"block{level}_{number}"
                inner = conv(f"{name}_conv0", into, width, level)
                inner = conv(f"{name}_conv1", inner, width, level, relu=False)
                steps.append(LayerStep(name, "add", (into, inner), width, level))
                into = name
            return into

        deepest = len(DECODER_LAYERS) - 1
        into = conv(f"input{deepest}", f"noise{deepest}", self.channels[deepest], deepest)
        into = blocks(into, deepest)
        for level in reversed(range(deepest)):
            width = self.channels[level]
            up = conv(f"up{level}", into, width, level, upsampling=self.upsampling)
            own = conv(f"input{level}", f"noise{level}", width, level)
            steps.append(LayerStep(f"join{level}", "concat", (up, own), 2 * width, level))
            into = blocks(conv(f"merge{level}", f"join{level}", width, level), level)
        steps.append(LayerStep("last", "conv", (into,), 3, 0, kernel=3, padding="reflect", bias=True))
        steps.append(LayerStep("picture", "picture", ("last",), 3, 0, output="tanh"))
        inputs = tuple((f"noise{level}", channels + self.noise) for level, channels in enumerate(self.inputs))
        return GeneratorPlan(tuple(steps), inputs, MULTIPLE, "instance")


def init_decoder(config: DecoderConfig, key: Array) -> dict[str, dict[str, Array]]:
    """Draw initial weights.

    Args:
        config: settings of the decoder.
        key: a typed key from :func:`jax.random.key`.

    Returns:
        ``{step: {"kernel", "bias"}}`` for convolutions, ``{norm: {"kernel", "bias"}}`` for the maps from the style's
        code to the scale and the bias after a convolution, and ``"code"`` for the map from the style's moments to the code.
        At the start every style has the scale 1 and the bias 0; the scale of the last convolution of a residual
        block is 0, so that the block is the identity.
    """
    params = dict[str, dict[str, Array]]()
    shapes = param_shapes(config)
    added = {step.sources[1] for step in config.plan().steps if step.op == "add"}
    for name, leaves in shapes.items():
        key, own = jax.random.split(key)
        kernel = jax.random.normal(own, leaves["kernel"])
        if name == "code":
            params[name] = {"kernel": kernel * leaves["kernel"][0] ** -0.5, "bias": jnp.zeros(leaves["bias"])}
        elif len(leaves["kernel"]) == 4:
            deviation = (2 / math.prod(leaves["kernel"][:3])) ** 0.5
            params[name] = {"kernel": kernel * deviation}
            if "bias" in leaves:
                params[name] = {"kernel": kernel * deviation * 0.1, "bias": jnp.zeros(leaves["bias"])}
        else:
            channels = leaves["bias"][0] // 2
            scale = jnp.full(channels, 0.0 if name in added else 1.0)
            start = jnp.concatenate([scale, jnp.zeros(channels)])
            params[name] = {"kernel": jnp.zeros(leaves["kernel"]), "bias": start}
    return params


def param_shapes(config: DecoderConfig) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the shapes of the weights of :func:`init_decoder`, without computing them.

    Args:
        config: settings of the decoder.
    """
    plan, shapes = config.plan(), dict[str, dict[str, tuple[int, ...]]]()
    channels = plan.channels()
    for step in plan.steps:
        if step.op == "conv":
            shapes[step.name] = {
                "kernel": (step.kernel, step.kernel, channels[step.sources[0]], step.channels)
            }
            if step.bias:
                shapes[step.name]["bias"] = (step.channels,)
        elif step.op in ("norm", "scale"):
            shapes[step.name] = {"kernel": (config.code, 2 * step.channels), "bias": (2 * step.channels,)}
    shapes["code"] = {"kernel": (2 * sum(config.inputs), config.code), "bias": (config.code,)}
    return shapes


def describe_style(style: Sequence[ActivationMoments], sizes: Sequence[float]) -> Any:
    """Return means and standard deviations at all layers in one vector, ``(n, 2 Σ inputs)``.

    The result is a NumPy array for moments that are NumPy arrays, and else a JAX array.

    Args:
        style: moments at :data:`DECODER_LAYERS`.
        sizes: root mean square of the activations of each layer, by which they are divided.
    """
    xp = array_library(style[0].mean)
    parts = []
    for of, size in zip(style, sizes, strict=True):
        deviation = xp.sqrt(xp.maximum(xp.diagonal(of.covariance, axis1=1, axis2=2), 0))
        parts += [of.mean / size, deviation / size]
    return xp.concatenate(parts, -1)


def style_scales(config: DecoderConfig, params: DecoderParams, description: Any) -> DecoderParams:
    """Return the ``scale`` and ``bias`` after each convolution for one style for each image.

    Args:
        config: settings of the decoder.
        params: from :func:`init_decoder`.
        description: from :func:`describe_style`, ``(n, d)``.

    Returns:
        Arrays ``(n, 1, 1, c)``: NumPy arrays if all arguments are, and else JAX arrays.
    """
    layer = params["code"]
    hidden = description @ layer["kernel"] + layer["bias"]
    code = hidden * (hidden > 0)
    found: dict[str, dict[str, Any]] = {}
    for step in config.plan().steps:
        if step.op in ("norm", "scale"):
            both = (code @ params[step.name]["kernel"] + params[step.name]["bias"])[:, None, None]
            found[step.name] = {"scale": both[..., : step.channels], "bias": both[..., step.channels :]}
    return found


def adapted(config: DecoderConfig, params: DecoderParams, description: Any) -> DecoderParams:
    """Return the decoder's weights for one style for each image.

    Args:
        config: settings of the decoder.
        params: from :func:`init_decoder`.
        description: from :func:`describe_style`, ``(n, d)``.

    Returns:
        The convolutions, and the result of :func:`style_scales`.
    """
    return {**convolutions(config, params), **style_scales(config, params, description)}


def convolutions(config: DecoderConfig, params: DecoderParams) -> DecoderParams:
    """Return the decoder's convolutions, which are the same for all styles."""
    return {name: params[name] for name in config.plan().named("conv")}


def with_noise(inputs: Sequence[Array], noise: Sequence[Array]) -> list[Array]:
    """Return the activations with channels of noise.

    Args:
        inputs: activations at :data:`DECODER_LAYERS`, ``(n, h / 2^k, w / 2^k, c)``.
        noise: normally distributed values, ``(n, h / 2^k, w / 2^k, DecoderConfig.noise)``.
    """
    return [jnp.concatenate(both, -1) for both in zip(inputs, noise, strict=True)]


def decode(
    config: DecoderConfig,
    weights: Mapping[str, Mapping[str, Array]],
    inputs: Sequence[Array],
    *,
    in_phases: bool = False,
) -> Images:
    """Compute the image of transported activations.

    Args:
        config: settings of the decoder.
        weights: from :func:`adapted`.
        inputs: activations at :data:`DECODER_LAYERS`, divided by their sizes, from :func:`with_noise`:
            ``(n, h / 2^k, w / 2^k, c + noise)``.
        in_phases: see :func:`nstjax.generators.steps.apply_step`; for a training.

    Returns:
        ``(n, h, w, 3)``, approximately in [0, 1].
    """
    arrays = {f"noise{level}": x for level, x in enumerate(inputs)}
    return apply_plan(config.plan(), weights, arrays, in_phases=in_phases)


def ordered(features: Features) -> list[Array]:
    """Return the activations at :data:`DECODER_LAYERS`, in order."""
    return [features[name] for name in DECODER_LAYERS]
