"""The state of a training, and its optimizer."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nstjax.errors import InputError
from nstjax.generators import init_generator
from nstjax.training.config import TrainConfig, TrainSettings

MOST_BAD = 10  # steps in a row whose gradient is not finite: then it is no photograph's fault


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree.

    Attributes:
        step: batches seen, ``int32``; every random number of a step is derived from it.
        params: of the generator, float32.
        batch_stats: running statistics of batch normalisation; empty without.
        opt_state: optax's.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """Return the variables for :func:`nstjax.generators.generate`."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def make_schedule(settings: TrainSettings) -> optax.Schedule:
    """The learning rate as a function of the optimiser's steps."""
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
    """Adam (Kingma and Ba 2015, arXiv 1412.6980) with its schedule, clipping and accumulation.

    A gradient that is not finite changes nothing. There are such ones though all is well: where a photograph has no
    contrast, each instance normalisation multiplies the gradient by 1/√ε, and fifteen of them leave float32's range.
    """
    steps = [] if settings.clip is None else [optax.clip_by_global_norm(settings.clip)]
    optimizer = optax.chain(*steps, optax.adam(make_schedule(settings), eps=settings.epsilon))
    if settings.accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, settings.accumulate).gradient_transformation()
    return optax.apply_if_finite(optimizer, MOST_BAD)


def init_state(config: TrainConfig) -> TrainState:
    """The state before the first step."""
    variables = init_generator(config.generator, jax.random.key(config.seed))
    opt_state = make_optimizer(config).init(variables["params"])
    return TrainState(jnp.zeros((), jnp.int32), variables["params"], variables["batch_stats"], opt_state)


def to_arrays(state: TrainState) -> dict[str, np.ndarray]:
    """The state's leaves by their paths, as NumPy arrays: what a checkpoint holds."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def from_arrays(template: TrainState, arrays: dict[str, np.ndarray]) -> TrainState:
    """The inverse of :func:`to_arrays`.

    Raises:
        InputError: the arrays are of a state of another form than the template's, or hold values that are not
            finite.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {jax.tree_util.keystr(path): (leaf.shape, np.dtype(leaf.dtype)) for path, leaf in leaves}
    if wanted != {name: (np.shape(array), np.asarray(array).dtype) for name, array in arrays.items()}:
        raise InputError(
            "the checkpoint is of another generator or optimiser than this run's: start a new run"
        )
    found = [np.asarray(arrays[jax.tree_util.keystr(path)]) for path, _ in leaves]
    if not all(np.isfinite(leaf).all() for leaf in found):
        raise InputError("the checkpoint holds values that are not finite: start a new run")
    state: TrainState = jax.tree_util.tree_unflatten(structure, found)
    return state
