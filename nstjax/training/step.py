"""The training step of a generator as a pure function.

The loss of a batch is the mean over its photographs of the objective of :mod:`nstjax.losses`. The content
target is the photograph's own activations (Johnson et al. 2016, arXiv 1603.08155, section 3; Ulyanov et al.
2016, arXiv 1603.03417, eq. 8).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nstjax.data import Batch
from nstjax.generators import draw_noise, generate_train
from nstjax.losses import Objective, Targets, make_targets, objective
from nstjax.nn.vgg import features
from nstjax.training.config import TrainConfig
from nstjax.training.state import TrainState
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
    alone = dataclasses.replace(config.objective, content_weight=0.0)
    plain = dataclasses.replace(make_apply(config), dtype=style.dtype)
    found = plain(network, style, alone.used_style_layers)
    side = config.data.size
    shapes = jax.eval_shape(
        lambda x: plain(network, x, alone.used_style_layers), jnp.zeros((1, side, side, 3))
    )
    return make_targets(alone, {}, found, {name: value.shape[1:3] for name, value in shapes.items()})


def batch_loss(
    record: Objective,
    apply: Callable[..., Features],
    network: Backbone,
    style: Targets,
    images: Images,
    photographs: Images,
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

    Returns:
        The loss, a scalar, and its weighted terms by name, scalars that add up to it.
    """
    layers = record.used_content_layers
    content = apply(network, photographs, layers) if layers else {}
    content = {name: jax.lax.stop_gradient(value) for name, value in content.items()}

    def one(image: Images, target: Features) -> tuple[Scalar, Terms]:
        targets = dataclasses.replace(style, content={name: value[None] for name, value in target.items()})
        return objective(record, apply, network, targets)(image[None])

    losses, terms = jax.vmap(one)(images, content)
    return losses.mean(), {name: value.mean() for name, value in terms.items()}


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
    dtype = jnp.dtype(config.compute)
    keys = jax.vmap(
        lambda i: jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), state.step), i)
    )
    height, width = batch.images.shape[1:3]
    noise = draw_noise(config.generator, keys(batch.index), height, width)
    photographs = batch.images

    def loss(params: Any) -> tuple[Scalar, tuple[Any, Terms]]:
        images, batch_stats = generate_train(
            config.generator,
            {"params": params, "batch_stats": state.batch_stats},
            photographs if config.generator.content else None,
            noise,
            axis_name=axis_name,
            dtype=dtype,
        )
        value, terms = batch_loss(config.objective, make_apply(config), network, style, images, photographs)
        return value, (batch_stats, terms)

    (value, (batch_stats, terms)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    metrics = {"loss": value, **terms}
    if axis_name is not None:
        gradient, metrics = jax.lax.pmean((gradient, metrics), axis_name)
    norm = optax.tree.norm(gradient)
    # A finite gradient whose squares overflow float32 would fill Adam's second moments with infinity. Its
    # norm is infinite, so it is replaced by NaN, which the optimizer skips.
    finite = jnp.isfinite(norm)
    gradient = jax.tree.map(lambda g: jnp.where(finite, g, jnp.nan), gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    batch_stats = jax.tree.map(lambda new, old: jnp.where(finite, new, old), batch_stats, state.batch_stats)
    metrics["gradient_norm"] = norm
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics
