"""Feed-forward generators, which stylize an image in one pass: Johnson et al. and Ulyanov et al.

The weights are a pytree, ``{"params": …, "batch_stats": …}``. All functions of this module are pure.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from nstjax.errors import InputError
from nstjax.generators.johnson import JohnsonConfig
from nstjax.generators.steps import apply_plan
from nstjax.generators.ulyanov import UlyanovConfig
from nstjax.pixels import check_floating
from nstjax.plain import build, checked
from nstjax.typing import Images

GeneratorConfig: TypeAlias = JohnsonConfig | UlyanovConfig
Variables: TypeAlias = Mapping[str, Any]
"""``{"params": tree, "batch_stats": tree}``, float32. The second is empty without batch normalization."""

GENERATORS: dict[str, type[JohnsonConfig] | type[UlyanovConfig]] = {
    "johnson": JohnsonConfig,
    "ulyanov": UlyanovConfig,
}


def init_generator(config: GeneratorConfig, key: Array) -> Variables:
    """Draw initial weights.

    Kernels and biases of convolutions are uniform in [−1/√f, 1/√f], where f is the number of inputs of one
    filter. This is the default of Torch, which both papers used. Normalizations start with scale 1 and bias
    0, and with running mean 0 and variance 1. A scaling without normalization starts with √6, so that it, the
    convolution before it and the ReLU after it keep the mean square of the activations, as in He et al. (2015,
    arXiv 1502.01852).

    Args:
        config: settings of the generator.
        key: a typed key from :func:`jax.random.key`.

    Returns:
        The variables, float32; a function of ``config`` and ``key`` only.
    """
    from nstjax.generators.network import (  # imports Flax, which inference does not need
        GeneratorModule,
        fan_in,
    )

    plan = config.plan()

    def init() -> Variables:
        side = plan.multiple
        inputs = {}
        for name, channels in plan.inputs:
            size = side >> int(name.removeprefix("noise")) if name.startswith("noise") else side
            inputs[name] = jnp.zeros((1, size, size, channels))
        style = None if plan.styles == 1 else jnp.zeros((1, plan.styles))
        return GeneratorModule(plan).init(key, inputs, style)

    # Flax gives the shapes. The weights are slices of one draw: XLA takes seconds to compile a draw per layer.
    shapes = jax.eval_shape(init)
    convs, scalings = plan.named("conv"), plan.named("scale")
    drawn = {name: leaves for name, leaves in shapes["params"].items() if name in convs}
    units = np.asarray(
        jax.random.uniform(key, (sum(leaf.size for leaf in jax.tree.leaves(drawn)),), jnp.float32, -1.0, 1.0)
    )
    params: dict[str, Any] = {}
    start = 0
    for name, leaves in shapes["params"].items():
        if name not in convs:
            scale = 6**0.5 if name in scalings else 1.0
            params[name] = {
                "scale": jnp.full(leaves["scale"].shape, scale, jnp.float32),
                "bias": jnp.zeros(leaves["bias"].shape, jnp.float32),
            }
            continue
        bound = fan_in(leaves["kernel"].shape) ** -0.5
        params[name] = {}
        for part, leaf in leaves.items():
            params[name][part] = jnp.asarray(bound * units[start : start + leaf.size].reshape(leaf.shape))
            start += leaf.size
    statistics = {
        name: {
            "mean": jnp.zeros(of["mean"].shape, jnp.float32),
            "var": jnp.ones(of["var"].shape, jnp.float32),
        }
        for name, of in shapes.get("batch_stats", {}).items()
    }
    return {"params": params, "batch_stats": statistics}


def noise_shapes(config: GeneratorConfig, height: int, width: int) -> list[tuple[int, int, int]]:
    """Return the shapes of the noise inputs of one image, from :func:`draw_noise`, without its first axis.

    Args:
        config: settings of the generator.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    plan = config.plan()
    high, wide = (-(-side // plan.multiple) * plan.multiple for side in (height, width))
    levels = [channels for name, channels in plan.inputs if name.startswith("noise")]
    return [(high // 2**k, wide // 2**k, channels) for k, channels in enumerate(levels)]


def draw_noise(
    config: GeneratorConfig, keys: Array, height: int, width: int, scale: float | Array = 1.0
) -> tuple[Array, ...]:
    """Draw the noise inputs of a generator.

    Args:
        config: settings of the generator.
        keys: typed keys ``(n,)``, one per image, so that the noise of an image does not depend on its batch.
        height: height of the images in pixels.
        width: width of the images in pixels.
        scale: upper end of the noise, which is uniform in [0, scale]; the factor ``k`` of the Duke report.

    Returns:
        For each level ``k`` with a noise input, from 0, an array ``(n, H/2ᵏ, W/2ᵏ, channels)``, float32. ``H`` and ``W`` are
        height and width rounded up to a multiple of the plan's ``multiple``. Empty for a generator without noise
        inputs.
    """
    shapes = noise_shapes(config, height, width)

    def one(key: Array) -> tuple[Array, ...]:
        drawn = (
            jax.random.uniform(jax.random.fold_in(key, k), shape, jnp.float32)
            for k, shape in enumerate(shapes)
        )
        return tuple(jnp.asarray(scale, jnp.float32) * noise for noise in drawn)

    return jax.vmap(one)(keys) if shapes else ()


def pad_to_multiple(images: Images, multiple: int) -> Array:
    """Pad images ``(n, h, w, 3)`` with reflection at the lower and right border, so that sides are multiples of a number."""
    high, wide = (-side % multiple for side in images.shape[1:3])
    if not high + wide:
        return jnp.asarray(images)
    return jnp.pad(images, ((0, 0), (0, high), (0, wide), (0, 0)), mode="reflect")


def _checked_inputs(
    config: GeneratorConfig,
    images: Images | None,
    noise: Sequence[Array],
    size: tuple[int, int] | None,
    dtype: DTypeLike,
    style: Array | None,
) -> tuple[dict[str, Array], tuple[int, int], Array | None]:
    """Check the arguments of :func:`generate`; return the plan's inputs, height and width, and each image's style."""
    plan = config.plan()
    if (style is None) != (plan.styles == 1):
        raise InputError(
            "`style` must be None: the generator has one style"
            if style is not None
            else f"`style` is missing: give weights of the generator's {plan.styles} styles"
        )
    wants_image = any(name == "image" for name, _ in plan.inputs)
    if wants_image != (images is not None):
        raise InputError(
            "`images` is missing" if wants_image else "`images` must be None: the generator makes textures"
        )
    if len(noise) != len(plan.inputs) - wants_image:
        raise InputError(
            f"the generator needs {len(plan.inputs) - wants_image} noise arrays, see draw_noise; {len(noise)} were given"
        )
    if images is not None:
        check_floating("image", images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise InputError(f"`images` has shape {images.shape}: it must be (n, height, width, 3)")
        height, width = images.shape[1:3]
    else:
        height, width = size or noise[0].shape[1:3]
    for k, (z, shape) in enumerate(zip(noise, noise_shapes(config, height, width), strict=True)):
        if z.shape[1:] != shape:
            raise InputError(
                f"noise array {k} has shape {z.shape}: for {height}×{width} pixels it must be (n, {', '.join(map(str, shape))})"
            )
    inputs = {f"noise{k}": z.astype(dtype) for k, z in enumerate(noise)}
    if images is not None:
        inputs["image"] = pad_to_multiple(jnp.asarray(images).astype(dtype), plan.multiple)
    if style is not None:
        count = next(iter(inputs.values())).shape[0]
        style = jnp.broadcast_to(jnp.asarray(style, jnp.float32), (count, plan.styles))
    return inputs, (height, width), style


def _cropped(picture: Array, size: tuple[int, int]) -> Array:
    """Return the upper left part of ``size``, in at least float32."""
    picture = picture[:, : size[0], : size[1]]
    return picture.astype(jnp.promote_types(picture.dtype, jnp.float32))


def generate(
    config: GeneratorConfig,
    variables: Variables,
    images: Images | None,
    noise: Sequence[Array] = (),
    *,
    size: tuple[int, int] | None = None,
    dtype: DTypeLike = jnp.float32,
    style: Array | None = None,
) -> Array:
    """Stylize images, or make textures. Batch normalization uses its running statistics.

    Args:
        config: settings of the generator.
        variables: its weights.
        images: ``(n, h, w, 3)`` in [0, 1], of any size and a floating dtype; None for a generator of
            textures.
        noise: noise from :func:`draw_noise` for this size; empty for a generator without noise inputs.
        size: height and width of a texture; by default those of the noise. Not used if there are images.
        dtype: dtype of the computation; statistics are at least float32.
        style: weights of the generator's styles, ``(styles,)`` or one row for each image, ``(n, styles)``; their
            sum should be 1. None for a generator of one style.

    Returns:
        ``(n, h, w, 3)``, at least float32, approximately in [0, 1] and not clipped.

    Raises:
        InputError: If images or noise do not match the generator's inputs, or the images are integers.
    """
    inputs, size, style = _checked_inputs(config, images, noise, size, dtype, style)
    plan, weights = config.plan(), variables["params"]
    if style is not None:
        weights = map_styled(config, weights, lambda table: (style @ table)[:, None, None])
    statistics = None
    if plan.norm == "batch":
        statistics = {name: (of["mean"], of["var"]) for name, of in variables["batch_stats"].items()}
    return _cropped(apply_plan(plan, weights, inputs, statistics), size)


def generate_train(
    config: GeneratorConfig,
    variables: Variables,
    images: Images | None,
    noise: Sequence[Array] = (),
    *,
    size: tuple[int, int] | None = None,
    axis_name: str | None = None,
    dtype: DTypeLike = jnp.float32,
    style: Array | None = None,
) -> tuple[Array, Variables]:
    """Run the generator in training mode: batch normalization uses the statistics of the batch.

    Args:
        config: settings of the generator.
        variables: its weights.
        images: as for :func:`generate`.
        noise: as for :func:`generate`.
        size: as for :func:`generate`.
        axis_name: name of the mapped axis of devices over which the batch is divided; None for one device.
        dtype: as for :func:`generate`.
        style: as for :func:`generate`.

    Returns:
        The images, and the updated running statistics (empty without batch normalization).

    Raises:
        InputError: As for :func:`generate`.
    """
    from nstjax.generators.network import GeneratorModule

    inputs, size, style = _checked_inputs(config, images, noise, size, dtype, style)
    network = GeneratorModule(config.plan(), axis_name)
    picture, changed = network.apply(dict(variables), inputs, style, mutable=["batch_stats"])
    return _cropped(picture, size), changed.get("batch_stats", {})


def map_styled(
    config: GeneratorConfig, params: Mapping[str, Any], function: Callable[[Any], Any]
) -> dict[str, Any]:
    """Return the weights with a function applied to the scales and biases, of which each style has its own.

    Args:
        config: settings of the generator.
        params: its weights, ``variables["params"]``.
        function: function of one array of scales or biases.
    """
    styled = config.plan().styled()
    return {
        name: {key: function(leaf) for key, leaf in leaves.items()} if name in styled else leaves
        for name, leaves in params.items()
    }


def blend_styles(
    config: GeneratorConfig, variables: Variables, weights: Array | np.ndarray
) -> tuple[GeneratorConfig, Variables]:
    """Return a generator of one style from a generator of several.

    Its scales and biases are the weighted means of those of the styles (Dumoulin et al. 2017, section 3.4), so it
    gives the same images as :func:`generate` with these weights.

    Args:
        config: settings of the generator.
        variables: its weights.
        weights: of its styles, ``(styles,)``; their sum should be 1.

    Returns:
        Config and weights of the generator of one style.

    Raises:
        InputError: If the number of weights is not that of the styles.
    """
    if np.shape(weights) != (config.styles,):
        raise InputError(f"`weights` has shape {np.shape(weights)}: give {config.styles}, one for each style")
    if config.styles == 1:
        return config, variables
    # Loaded weights are NumPy arrays, for which NumPy saves the compilation of many small products.
    shares: Any = (
        weights.astype(np.float32) if isinstance(weights, np.ndarray) else jnp.asarray(weights, jnp.float32)
    )
    params = map_styled(config, variables["params"], lambda table: shares @ table)
    return dataclasses.replace(config, styles=1), {**variables, "params": params}


def config_to_json(config: GeneratorConfig) -> dict[str, Any]:
    """Return the config as a dict with ``kind`` and the fields, for JSON."""
    kind = "johnson" if isinstance(config, JohnsonConfig) else "ulyanov"
    return {"kind": kind, **dataclasses.asdict(config)}


def config_from_json(record: object) -> GeneratorConfig:
    """Return the config for a dict from :func:`config_to_json`.

    Raises:
        InputError: If the dict is damaged, or was written by a version with other fields.
    """
    try:
        fields = checked(record, dict[str, Any], "the generator's config")
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in GENERATORS:
            raise InputError("the record names no generator that nstjax has")
        config: GeneratorConfig = build(GENERATORS[kind], fields)
    except InputError as error:
        raise InputError(f"{error}: name another checkpoint") from error
    return config


__all__ = [
    "GENERATORS",
    "GeneratorConfig",
    "JohnsonConfig",
    "UlyanovConfig",
    "Variables",
    "blend_styles",
    "config_from_json",
    "config_to_json",
    "draw_noise",
    "generate",
    "generate_train",
    "init_generator",
    "map_styled",
    "noise_shapes",
    "pad_to_multiple",
]
