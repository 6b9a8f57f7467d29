"""The training step of a generator as a pure function.

The loss of a batch is the average over its photographs of the objective of :mod:`nstjax.losses`, with the
photograph's own activations as the content's target (Johnson et al. 2016, arXiv 1603.08155, section 3;
Ulyanov et al. 2016, arXiv 1603.03417, eq. 8).
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

# Here and not where it is defined: the processes that decode photographs have no need of JAX.
jax.tree_util.register_dataclass(Batch, ["images", "index"], [])


@dataclasses.dataclass(frozen=True)
class GeneratorApply:
    """The feature network with its options fixed; activations are float32 at least, whatever the arithmetic."""

    pooling: Pooling
    dtype: Any

    def __call__(self, network: Backbone, images: Images, layers: tuple[str, ...]) -> Features:
        """Activations of ``layers``."""
        found = features(network, jnp.asarray(images, self.dtype), layers, self.pooling)
        return {
            name: value.astype(jnp.promote_types(value.dtype, jnp.float32)) for name, value in found.items()
        }


def make_apply(config: TrainConfig) -> GeneratorApply:
    """The feature network of a training."""
    return GeneratorApply(config.pooling, jnp.dtype(config.compute))


def style_targets(config: TrainConfig, network: Backbone, style: Images) -> Targets:
    """The painting's statistics, computed once; ``content`` is left empty for :func:`batch_loss` to fill.

    Args:
        config: with its layers named.
        network: the feature network.
        style: ``(1, h, w, 3)``, at the size at which it is to be looked at.
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
    """The objective of each image, averaged over the batch.

    Args:
        record: with its layers named.
        apply: ``apply(network, images, layers) -> {name: (n, h, w, c)}``.
        network: the feature network.
        style: from :func:`style_targets`.
        images: what the generator made, ``(n, h, w, 3)``.
        photographs: what it was made from, the same shape.

    Returns:
        The loss and its weighted terms.
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
    """The state after one batch.

    Noise is drawn for each image from the seed, the step and the image's place in the whole batch, so that
    it does not depend on how the batch is spread over devices.

    Args:
        config: with its layers named.
        optimizer: from :func:`nstjax.training.state.make_optimizer`.
        state: before.
        network: the feature network; it gets no gradient.
        style: from :func:`style_targets`.
        batch: this device's share of it.
        axis_name: of the devices, over which gradients, losses and batch statistics are averaged.

    Returns:
        The state, and the loss, its terms and the gradient's norm as scalars.
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
    # One whose squares leave float32's range would fill Adam's second moments with infinity.
    finite = jnp.isfinite(norm)
    gradient = jax.tree.map(lambda g: jnp.where(finite, g, jnp.nan), gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    batch_stats = jax.tree.map(lambda new, old: jnp.where(finite, new, old), batch_stats, state.batch_stats)
    metrics["gradient_norm"] = norm
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics
