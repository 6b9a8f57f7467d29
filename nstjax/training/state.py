"""The state of a training run, and its optimizer."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nstjax.errors import InputError
from nstjax.generators import Variables, init_generator
from nstjax.training.config import TrainConfig, TrainSettings

MOST_BAD = 10  # consecutive steps with a non-finite gradient; more have another cause than a photograph


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state of a training run, a pytree.

    Attributes:
        step: number of batches seen, ``int32``. All random numbers of a step are derived from it.
        params: parameters of the generator, float32.
        batch_stats: running statistics of batch normalization; empty for instance normalization.
        opt_state: state of the optax optimizer.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The variables for :func:`nstjax.generators.generate`."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def make_schedule(settings: TrainSettings) -> optax.Schedule:
    """Return the learning rate as a function of the number of optimizer steps."""
    peak, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "cosine":
        main = optax.cosine_decay_schedule(peak, settings.steps - warmup)
    elif settings.schedule == "exponential":
        main = optax.exponential_decay(peak, settings.decay_steps, settings.decay_rate, staircase=True)
    else:
        main = optax.constant_schedule(peak)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), main], [warmup])


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Return Adam (Kingma and Ba 2015, arXiv 1412.6980) with schedule, gradient clipping and accumulation.

    A non-finite gradient is skipped, up to ``MOST_BAD`` in a row. Single ones are normal: for a photograph
    without contrast, each instance normalization multiplies the gradient by 1/√ε, and fifteen of them
    overflow float32.

    Args:
        settings: settings of the optimizer.
    """
    steps = [] if settings.clip is None else [optax.clip_by_global_norm(settings.clip)]
    optimizer = optax.chain(*steps, optax.adam(make_schedule(settings), eps=settings.epsilon))
    if settings.accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, settings.accumulate).gradient_transformation()
    return optax.apply_if_finite(optimizer, MOST_BAD)


def trained_part(config: TrainConfig, params: Any) -> Any:
    """Return the parameters that a run trains, ``{step: {name: array}}``; see ``TrainSettings.parameters``."""
    if config.parameters == "all":
        return params
    norms = config.generator.plan().styled()
    return {name: leaves for name, leaves in params.items() if name in norms}


def init_state(config: TrainConfig, start: Variables | None = None) -> TrainState:
    """Return the state before the first step.

    Args:
        config: settings of the run.
        start: weights to begin with, of a generator of this config; by default random ones.
    """
    variables = init_generator(config.generator, jax.random.key(config.seed)) if start is None else start
    params = dict(variables["params"])
    opt_state = make_optimizer(config).init(trained_part(config, params))
    return TrainState(jnp.zeros((), jnp.int32), params, variables["batch_stats"], opt_state)


def to_arrays(state: TrainState) -> dict[str, np.ndarray]:
    """Return the leaves of the state as NumPy arrays, keyed by their paths, as checkpoints store them."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def from_arrays(template: TrainState, arrays: dict[str, np.ndarray]) -> TrainState:
    """Return the state for arrays from :func:`to_arrays`.

    Args:
        template: a state with the wanted structure, shapes and dtypes.
        arrays: the leaves, keyed by their paths.

    Raises:
        InputError: If keys, shapes or dtypes differ from the template's, or a value is not finite.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {jax.tree_util.keystr(path): (leaf.shape, np.dtype(leaf.dtype)) for path, leaf in leaves}
    if wanted != {name: (np.shape(array), np.asarray(array).dtype) for name, array in arrays.items()}:
        raise InputError(
            "the checkpoint is of another generator or optimizer than this run's: start a new run"
        )
    found = [np.asarray(arrays[jax.tree_util.keystr(path)]) for path, _ in leaves]
    if not all(np.isfinite(leaf).all() for leaf in found):
        raise InputError("the checkpoint holds values that are not finite: start a new run")
    state: TrainState = jax.tree_util.tree_unflatten(structure, found)
    return state
