"""The training step of a generator as a pure function.

The loss of a batch is the mean over its photographs of the objective of :mod:`nstjax.losses`. The content
target is the photograph's own activations (Johnson et al. 2016, arXiv 1603.08155, section 3; Ulyanov et al.
2016, arXiv 1603.03417, eq. 8).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nstjax.data import Batch
from nstjax.errors import InputError
from nstjax.generators import draw_noise, generate_train
from nstjax.losses import Objective, Targets, grid_loss, make_targets, objective
from nstjax.nn.vgg import features
from nstjax.training.config import TrainConfig
from nstjax.training.state import TrainState, trained_part
from nstjax.typing import Backbone, Features, Images, Pooling, Scalar, Terms

Metrics = dict[str, jax.Array]

# Registered here and not beside the class, so that the processes that decode photographs need not import JAX.
jax.tree_util.register_dataclass(Batch, ["images", "index"], [])


@dataclasses.dataclass(frozen=True)
class GeneratorApply:
    """:func:`nstjax.nn.vgg.features` with fixed pooling and dtype, as the loss of a generator uses it.

    Instances with equal options are equal, so they share compiled programs.

    Attributes:
        pooling: as for :func:`nstjax.nn.vgg.features`.
        dtype: dtype of the computation; the returned activations are at least float32.
    """

    pooling: Pooling
    dtype: Any

    def __call__(self, network: Backbone, images: Images, layers: tuple[str, ...]) -> Features:
        """Compute the activations of ``layers``.

        Args:
            network: the feature network.
            images: ``(n, h, w, 3)`` in [0, 1].
            layers: names of layers.

        Returns:
            ``{name: (n, h', w', c)}``, at least float32.
        """
        found = features(network, jnp.asarray(images, self.dtype), layers, self.pooling)
        return {
            name: value.astype(jnp.promote_types(value.dtype, jnp.float32)) for name, value in found.items()
        }


def make_apply(config: TrainConfig) -> GeneratorApply:
    """Return the feature network's function with the pooling and the dtype of ``config``."""
    return GeneratorApply(config.pooling, jnp.dtype(config.compute))


def style_targets(config: TrainConfig, network: Backbone, style: Images) -> Targets:
    """Compute the style targets of a training run. They are computed once, in the dtype of ``style``.

    Args:
        config: settings with named layers (:meth:`TrainConfig.for_backbone`).
        network: the feature network.
        style: the style image, ``(1, h, w, 3)`` in [0, 1], already resized (see
            :func:`nstjax.training.loop.scaled_style`).

    Returns:
        Targets with an empty ``content``, which :func:`batch_loss` fills for each photograph.
    """
    if not config.objective.used_style_layers:
        return Targets({}, {})
    alone = dataclasses.replace(config.objective, content_weight=0.0)
    plain = dataclasses.replace(make_apply(config), dtype=style.dtype)
    found = plain(network, style, alone.used_style_layers)
    side = config.data.size
    shapes = jax.eval_shape(
        lambda x: plain(network, x, alone.used_style_layers), jnp.zeros((1, side, side, 3))
    )
    return make_targets(alone, {}, found, {name: value.shape[1:3] for name, value in shapes.items()})


def targets_of_styles(config: TrainConfig, network: Backbone, styles: Sequence[Images]) -> Targets:
    """Compute the style targets of one or several style images.

    Args:
        config: settings with named layers.
        network: the feature network.
        styles: the style images, each ``(1, h, w, 3)`` in [0, 1], already resized.

    Returns:
        The result of :func:`style_targets` for one image. For several, its arrays have an additional first axis,
        ``(styles, ...)``.

    Raises:
        InputError: If there are several images, and the targets of two have different shapes, such as those of a
            statistic that keeps all positions.
    """
    found = [style_targets(config, network, style) for style in styles]
    if len(found) == 1:
        return found[0]
    shapes = [jax.tree.map(jnp.shape, targets) for targets in found]
    if any(shape != shapes[0] for shape in shapes):
        raise InputError(
            f"`style_statistic` {config.objective.style_statistic}: the targets of several style images differ in "
            f"shape; choose gram or another statistic of averages, or images of one size"
        )
    stacked: Targets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)
    return stacked


def batch_loss(
    record: Objective,
    apply: Callable[..., Features],
    network: Backbone,
    style: Targets,
    images: Images,
    photographs: Images,
    chosen: jax.Array | None = None,
) -> tuple[Scalar, Terms]:
    """Compute the objective of each image and average it over the batch.

    Args:
        record: the objective, with named layers.
        apply: ``apply(network, images, layers) -> {name: (n, h, w, c)}``.
        network: the feature network.
        style: targets from :func:`style_targets`.
        images: output of the generator, ``(n, h, w, 3)``.
        photographs: input of the generator and content targets, same shape. No gradient flows through their
            activations.
        chosen: number of the style of each image, ``(n,)`` integers, for the targets of several styles
            (:func:`targets_of_styles`); None for those of one.

    Returns:
        The loss, a scalar, and its weighted terms by name, scalars that add up to it.
    """
    layers = record.used_content_layers
    content = apply(network, photographs, layers) if layers else {}
    content = {name: jax.lax.stop_gradient(value) for name, value in content.items()}

    def one(image: Images, target: Features, own: Targets) -> tuple[Scalar, Terms]:
        targets = dataclasses.replace(own, content={name: value[None] for name, value in target.items()})
        return objective(record, apply, network, targets)(image[None])

    if chosen is None:
        losses, terms = jax.vmap(one, (0, 0, None))(images, content, style)
    else:
        losses, terms = jax.vmap(one)(images, content, jax.tree.map(lambda leaf: leaf[chosen], style))
    return losses.mean(), {name: value.mean() for name, value in terms.items()}


def _grid_term(config: TrainConfig, images: Images) -> Scalar:
    return config.grid_weight * grid_loss(images, config.generator.plan().multiple)


def unchanged_loss(
    config: TrainConfig, network: Backbone, style: Targets, photograph: Images, number: int | jax.Array = 0
) -> Scalar:
    """Compute the loss of a photograph as it is, with which the loss of a generator is compared.

    Args:
        config: settings with named layers.
        network: the feature network.
        style: targets from :func:`targets_of_styles`.
        photograph: ``(1, h, w, 3)`` in [0, 1], with the height and width of the training crops.
        number: number of the photograph; with several styles, its style is ``number`` mod ``styles``.

    Returns:
        A scalar.
    """
    styles = config.generator.styles
    chosen = None if styles == 1 else jnp.asarray(number)[None] % styles
    apply = make_apply(config)
    found = batch_loss(config.objective, apply, network, style, photograph, photograph, chosen)[0]
    return found + _grid_term(config, photograph) if config.grid_weight else found


def style_numbers(config: TrainConfig, step: jax.Array, index: jax.Array | np.ndarray) -> jax.Array:
    """Return the number of the style of each image of a batch: the styles take turns.

    Args:
        config: settings of the run.
        step: number of batches before this one.
        index: indices of the images in the whole batch, ``(n,)``.

    Returns:
        ``(n,)`` integers, from 0.
    """
    styles = config.generator.styles
    return ((step % styles) * (config.data.batch_size % styles) + index) % styles


def train_step(
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    network: Backbone,
    style: Targets,
    batch: Batch,
    axis_name: str | None = None,
) -> tuple[TrainState, Metrics]:
    """Run one training step on one batch.

    The noise of an image is derived from the seed, the step and the image's index in the whole batch. It does
    not depend on how the batch is divided among devices. If the gradient is not finite, the parameters and
    the running statistics stay as they are, and only ``step`` increases.

    Args:
        config: settings with named layers.
        optimizer: from :func:`nstjax.training.state.make_optimizer`.
        state: the state before the step.
        network: the feature network, which is not trained.
        style: targets from :func:`style_targets`.
        batch: this device's share of the batch.
        axis_name: name of the mapped axis of devices, over which gradients, metrics and batch statistics are
            averaged; None for one device.

    Returns:
        The new state, and the metrics as scalars: ``loss``, its weighted terms and ``gradient_norm``.
    """
    dtype, styles = jnp.dtype(config.compute), config.generator.styles
    chosen = weights = None
    if styles > 1:
        chosen = style_numbers(config, state.step, batch.index)
        weights = jax.nn.one_hot(chosen, styles)
    keys = jax.vmap(
        lambda i: jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), state.step), i)
    )
    height, width = batch.images.shape[1:3]
    noise = draw_noise(config.generator, keys(batch.index), height, width)
    photographs = batch.images

    def loss(part: Any) -> tuple[Scalar, tuple[Any, Terms]]:
        images, batch_stats = generate_train(
            config.generator,
            {"params": {**state.params, **part}, "batch_stats": state.batch_stats},
            photographs if config.generator.content else None,
            noise,
            axis_name=axis_name,
            dtype=dtype,
            style=weights,
        )
        apply = make_apply(config)
        value, terms = batch_loss(config.objective, apply, network, style, images, photographs, chosen)
        if config.grid_weight:
            grid = _grid_term(config, images)
            value, terms = value + grid, {**terms, "grid": grid}
        return value, (batch_stats, terms)

    part = trained_part(config, state.params)
    (value, (batch_stats, terms)), gradient = jax.value_and_grad(loss, has_aux=True)(part)
    metrics = {"loss": value, **terms}
    if axis_name is not None:
        gradient, metrics = jax.lax.pmean((gradient, metrics), axis_name)
    norm = optax.tree.norm(gradient)
    # A finite gradient whose squares overflow float32 would fill Adam's second moments with infinity. Its
    # norm is infinite, so it is replaced by NaN, which the optimizer skips.
    finite = jnp.isfinite(norm)
    gradient = jax.tree.map(lambda g: jnp.where(finite, g, jnp.nan), gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, part)
    params = {**state.params, **optax.apply_updates(part, updates)}
    batch_stats = jax.tree.map(lambda new, old: jnp.where(finite, new, old), batch_stats, state.batch_stats)
    metrics["gradient_norm"] = norm
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics
