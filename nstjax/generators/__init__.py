"""Feed-forward generators, which stylize in one pass: Johnson et al. and Ulyanov et al.

Weights are trees, ``{"params": …, "batch_stats": …}``; every function here is pure.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from nstjax.errors import InputError
from nstjax.generators.johnson import JohnsonConfig
from nstjax.generators.network import GeneratorModule, fan_in
from nstjax.generators.ulyanov import UlyanovConfig, pyramid_noise
from nstjax.pixels import check_floating
from nstjax.plain import build, checked
from nstjax.typing import Images

GeneratorConfig: TypeAlias = JohnsonConfig | UlyanovConfig
Variables: TypeAlias = Mapping[str, Any]
"""``{"params": tree, "batch_stats": tree}``, float32; the second is empty without batch normalisation."""

GENERATORS: dict[str, type[JohnsonConfig] | type[UlyanovConfig]] = {
    "johnson": JohnsonConfig,
    "ulyanov": UlyanovConfig,
}


def init_generator(config: GeneratorConfig, key: Array) -> Variables:
    """Random weights: U[−1/√f, 1/√f], f the inputs of a filter; norms begin as 1 and 0.

    That is Torch's default, with which both papers' networks began.

    Args:
        config: of the network.
        key: from :func:`jax.random.key`.
    """
    plan = config.plan()

    def init() -> Variables:
        side = plan.multiple
        inputs = {}
        for name, channels in plan.inputs:
            size = side >> int(name.removeprefix("noise")) if name.startswith("noise") else side
            inputs[name] = jnp.zeros((1, size, size, channels))
        return GeneratorModule(plan).init(key, inputs)

    # Shapes and constants are Flax's. The weights are cut from one draw: XLA takes seconds to compile many.
    shapes = jax.eval_shape(init)
    convs = {step.name for step in plan.steps if step.op == "conv"}
    drawn = {name: leaves for name, leaves in shapes["params"].items() if name in convs}
    units = np.asarray(
        jax.random.uniform(key, (sum(leaf.size for leaf in jax.tree.leaves(drawn)),), jnp.float32, -1.0, 1.0)
    )
    params: dict[str, Any] = {}
    start = 0
    for name, leaves in shapes["params"].items():
        if name not in convs:
            params[name] = {"scale": jnp.ones(leaves["scale"].shape), "bias": jnp.zeros(leaves["bias"].shape)}
            continue
        bound = fan_in(leaves["kernel"].shape) ** -0.5
        params[name] = {}
        for part, leaf in leaves.items():
            params[name][part] = jnp.asarray(bound * units[start : start + leaf.size].reshape(leaf.shape))
            start += leaf.size
    statistics = {
        name: {"mean": jnp.zeros(of["mean"].shape), "var": jnp.ones(of["var"].shape)}
        for name, of in shapes.get("batch_stats", {}).items()
    }
    return {"params": params, "batch_stats": statistics}


def draw_noise(
    config: GeneratorConfig, keys: Array, height: int, width: int, scale: float | Array = 1.0
) -> tuple[Array, ...]:
    """The noise that goes in beside the images.

    Args:
        config: of the network.
        keys: typed keys ``(n,)``, one an image, so that an image's noise does not depend on its batch.
        height: of the images, in pixels.
        width: of the images.
        scale: report 000's k: the noise is uniform in [0, k].

    Returns:
        An array ``(n, ⌈h⌉/2ᵏ, ⌈w⌉/2ᵏ, 3)`` for each scale, ⌈⌉ the next multiple of 2 to the number of scales
        less one; none for Johnson's network.
    """
    return pyramid_noise(config, keys, height, width, scale) if isinstance(config, UlyanovConfig) else ()


def _pad_to(images: Array, height: int, width: int) -> Array:
    """Reflect at the lower and right border until the size is reached."""
    h, w = images.shape[1:3]
    if (h, w) == (height, width):
        return images
    return jnp.pad(images, ((0, 0), (0, height - h), (0, width - w), (0, 0)), mode="reflect")


def _run(
    config: GeneratorConfig,
    variables: Variables,
    images: Images | None,
    noise: Sequence[Array],
    size: tuple[int, int] | None,
    dtype: DTypeLike,
    train: bool,
    axis_name: str | None,
) -> tuple[Array, Variables]:
    plan = config.plan()
    wants_image = any(name == "image" for name, _ in plan.inputs)
    if wants_image != (images is not None) or len(noise) != len(plan.inputs) - wants_image:
        raise InputError("the generator was not given the images and the noise that it is made for")
    inputs = {f"noise{k}": z.astype(dtype) for k, z in enumerate(noise)}
    if images is not None:
        check_floating("image", images)
        _, height, width, _ = images.shape
        high, wide = (-(-side // plan.multiple) * plan.multiple for side in (height, width))
        inputs["image"] = _pad_to(jnp.asarray(images).astype(dtype), high, wide)
    else:
        height, width = size or noise[0].shape[1:3]
    network = GeneratorModule(plan, train, axis_name)
    picture, changed = network.apply(dict(variables), inputs, mutable=["batch_stats"] if train else [])
    picture = picture[:, :height, :width]
    return picture.astype(jnp.promote_types(picture.dtype, jnp.float32)), changed.get("batch_stats", {})


def generate(
    config: GeneratorConfig,
    variables: Variables,
    images: Images | None,
    noise: Sequence[Array] = (),
    *,
    size: tuple[int, int] | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Array:
    """Apply a generator; batch normalization uses its running statistics.

    Args:
        config: of the network.
        variables: its weights.
        images: ``(n, h, w, 3)`` in [0, 1], of any size; None for a texture network.
        noise: from :func:`draw_noise` for this size.
        size: height and width of a texture; by default that of the noise.
        dtype: of the arithmetic; statistics are float32 at least.

    Returns:
        ``(n, h, w, 3)`` float32, about [0, 1] and not clipped.

    Raises:
        InputError: images or noise do not go with the network, or images are integers.
    """
    return _run(config, variables, images, noise, size, dtype, False, None)[0]


def generate_train(
    config: GeneratorConfig,
    variables: Variables,
    images: Images | None,
    noise: Sequence[Array] = (),
    *,
    size: tuple[int, int] | None = None,
    axis_name: str | None = None,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Array, Variables]:
    """Apply a generator as in training: batch normalization uses the statistics of the batch.

    Args:
        config: of the network.
        variables: its weights.
        images: as for :func:`generate`.
        noise: likewise.
        size: likewise.
        axis_name: of the mapped axis over whose devices the batch is spread.
        dtype: of the arithmetic.

    Returns:
        The images, and the new running statistics (empty without batch normalisation).

    Raises:
        InputError: images or noise do not go with the network.
    """
    return _run(config, variables, images, noise, size, dtype, True, axis_name)


def config_to_json(config: GeneratorConfig) -> dict[str, Any]:
    """A dict with ``kind`` and the fields."""
    kind = "johnson" if isinstance(config, JohnsonConfig) else "ulyanov"
    return {"kind": kind, **dataclasses.asdict(config)}


def config_from_json(record: object) -> GeneratorConfig:
    """The config that :func:`config_to_json` wrote.

    Raises:
        InputError: it is damaged, or of another version.
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
    "config_from_json",
    "config_to_json",
    "draw_noise",
    "generate",
    "generate_train",
    "init_generator",
]
