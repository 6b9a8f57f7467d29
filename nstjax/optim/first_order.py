"""First-order methods by optax: Adam, with an optional average of its iterates, and decaying SGD.

The step of gradient descent depends on the units of the pixels and of the loss. With pixels in [0, 1] in place of 0 to
255 the gradient is 255 times as large and the step must be 255 times as small, so a rate becomes ``rate / 255²``: report
002's 100 becomes 0.0015, for its losses, which are sums over positions
(``python -m experiments.ahmedabad_vgg``). The default objective is a sum of ratios, whose gradient at a pixel falls
with the number of pixels; its rate must rise with that number. :data:`RATE_PER_VALUE` is the default for it.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nstjax.errors import MOST, InputError, check_positive, within
from nstjax.optim.types import (
    Callback,
    NonFiniteLoss,
    ObjectiveFn,
    Result,
    Saved,
    Status,
    Step,
    as_partial,
    check_bounds,
    check_saved,
    to_floats,
    to_host,
)

RATE_PER_VALUE = 3e-6
"""Default rate of :class:`Sgd` for each value of the image (height·width·3), for the default objective.

From the photograph the loss falls in every iteration at 128 pixels (tubingen, starry_night) for a style weight of 180,
with VGG-19 and with the embedded network, and so for smaller weights, whose curvature is less. With 1e-5 VGG-19's loss
still falls, but not in every iteration; with 1e-4 and a weight of 180 it becomes infinite. Losses on other scales need a
rate of their own.
"""


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015)."""

    iterations: int = 500
    """Iterations."""
    learning_rate: float = 0.02
    """Step, in units of the pixel's range [0, 1]."""
    b1: float = 0.9
    """Decay of the mean of gradients."""
    b2: float = 0.99
    """Decay of the mean of squared gradients."""
    average: float = 0.0
    """Decay of the bias-corrected exponential average of the iterates, which is then the result; 0 is off."""
    bounds: tuple[float, float] | None = None
    """Clamp to this range after each step."""

    def __post_init__(self) -> None:
        check_positive("learning_rate", self.learning_rate)
        check_bounds(self.bounds)
        for option, value in (("b1", self.b1), ("b2", self.b2), ("average", self.average)):
            if not 0 <= value < 1:
                raise InputError(f"`{option}` is {value}: it must be 0 or more and less than 1")


@dataclasses.dataclass(frozen=True)
class Sgd:
    """Gradient descent with exponential decay (report 002; its rate of 100 is for pixels of 0 to 255)."""

    iterations: int = 3000
    """Iterations."""
    learning_rate: float | None = None
    """Initial step, for pixels in [0, 1]; none given means 3e-6 times the image's number of values, for relative losses."""
    decay_rate: float = 0.96
    """Factor on the step after every decay_steps iterations, applied smoothly."""
    decay_steps: int = 100
    """See decay_rate."""
    bounds: tuple[float, float] | None = None
    """Clamp to this range after each step."""

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            check_positive("learning_rate", self.learning_rate)
        check_bounds(self.bounds)
        check_positive("decay_rate", self.decay_rate, most=1.0)
        within("decay_steps", self.decay_steps, 1, MOST)


class _State(NamedTuple):
    x: jax.Array
    previous: jax.Array  # the iterate whose loss was told last; the last good one if the next is not finite
    moments: Any
    average: jax.Array
    averaged: jax.Array  # number of iterates in the average


def _transform(config: Adam | Sgd, values: int) -> Any:
    """The method, for an image of so many values."""
    import optax  # late: the default method has no use for it

    if isinstance(config, Adam):
        return optax.adam(config.learning_rate, config.b1, config.b2)
    rate = RATE_PER_VALUE * values if config.learning_rate is None else config.learning_rate
    return optax.sgd(optax.exponential_decay(rate, config.decay_steps, config.decay_rate))


def _start(x: jax.Array, config: Adam | Sgd) -> _State:
    zero = jnp.zeros((), x.dtype)
    return _State(x, x, _transform(config, x.size).init(x), jnp.zeros_like(x), zero)


@partial(jax.jit, static_argnames="config")
def _update(fun: Any, state: _State, config: Adam | Sgd) -> tuple[_State, Any, Any]:
    (value, terms), grad = jax.value_and_grad(fun, has_aux=True)(state.x)
    updates, moments = _transform(config, state.x.size).update(grad, state.moments, state.x)
    x = state.x + updates
    if config.bounds is not None:
        x = jnp.clip(x, *config.bounds)
    average, averaged = state.average, state.averaged
    if isinstance(config, Adam) and config.average:
        average = config.average * average + (1 - config.average) * x
        averaged = averaged + 1
    return _State(x, state.x, moments, average, averaged), value, terms


def _output(state: _State, config: Adam | Sgd) -> jax.Array:
    if not (isinstance(config, Adam) and config.average):
        return state.x
    return state.average / (1 - config.average**state.averaged) if float(state.averaged) else state.x


def minimise_first_order(
    fun: ObjectiveFn,
    x0: jax.Array,
    config: Adam | Sgd,
    callback: Callback | None = None,
    resume: Saved | None = None,
) -> Result:
    """See :func:`nstjax.optim.minimise`."""
    static = dataclasses.replace(config, iterations=0)
    fun, began = as_partial(fun), time.perf_counter()
    iteration, evaluations, state = 0, 0, _start(x0, static)
    if resume is not None:
        state = check_saved(resume, config, state)
        iteration, evaluations = resume.iteration, resume.evaluations
    value, status = math.nan, "done"

    def saved(state: _State, iteration: int, evaluations: int) -> Saved:
        return Saved(type(config).__name__, iteration, evaluations, to_host(state))

    while iteration < config.iterations:
        new, value_array, term_arrays = _update(fun, state, static)
        evaluations += 1
        value, terms = to_floats(value_array, term_arrays)
        if not math.isfinite(value):
            raise NonFiniteLoss(state.previous, iteration, terms)
        state, iteration = new, iteration + 1
        if callback is not None:
            seconds = time.perf_counter() - began
            now = partial(saved, state, iteration, evaluations)
            if callback(
                Step(iteration, value, terms, evaluations, seconds, partial(_output, state, config), now)
            ):
                status = "stopped"
                break
    if not bool(jnp.isfinite(state.x).all()):  # the last update's loss is never evaluated
        raise NonFiniteLoss(state.previous, iteration, {})
    final: Status = status  # type: ignore[assignment]
    return Result(
        _output(state, config), value, iteration, evaluations, final, saved(state, iteration, evaluations)
    )


def carry_moments(
    config: Adam | Sgd, saved: Saved, x0: jax.Array, resample: Callable[[jax.Array], jax.Array]
) -> Saved:
    """The state to start from at another size: Adam's moments resampled, its step count kept.

    Args:
        config: of the minimisation to start.
        saved: the final state of the last one.
        x0: the start at the new size.
        resample: maps an array of the old size to the new one. (Second moments stay non-negative.)
    """
    from optax import ScaleByAdamState

    old_shape = saved.leaves[0].shape
    state = check_saved(saved, config, _start(jnp.zeros(old_shape, x0.dtype), config))

    def carried(leaf: jax.Array) -> jax.Array:
        return resample(leaf) if leaf.shape == old_shape else leaf

    moments = jax.tree.map(carried, state.moments)
    moments = jax.tree.map(
        lambda leaf: (
            leaf._replace(nu=jnp.maximum(leaf.nu, 0)) if isinstance(leaf, ScaleByAdamState) else leaf
        ),
        moments,
        is_leaf=lambda leaf: isinstance(leaf, ScaleByAdamState),
    )
    fresh = _start(x0, config)._replace(moments=moments)
    return Saved(type(config).__name__, 0, 0, to_host(fresh))
