"""The common part of Adam and SGD: updates by optax."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from nstjax.optim.base import Iterate, Optimizer

if TYPE_CHECKING:
    from nstjax.optim.loop import Run


class Descent(NamedTuple):
    """The state of a first-order optimiser.

    Attributes:
        x: the iterate.
        previous: the iterate whose loss was evaluated last, the last good one if the next is not finite.
        moments: the state of optax's transformation.
        average: the decaying sum of the iterates.
        averaged: the number of iterates in it.
    """

    x: jax.Array
    previous: jax.Array
    moments: Any
    average: jax.Array
    averaged: jax.Array


class FirstOrder(Optimizer):
    """Base class of the first-order optimisers: a frozen dataclass with a transformation of optax."""

    bounds: tuple[float, float] | None

    def transform(self, values: int) -> Any:
        """The ``optax.GradientTransformation`` for an array of so many values."""
        raise NotImplementedError

    def decay_of_average(self) -> float:
        """Decay of the average of the iterates; 0 for none."""
        return 0.0

    def init(self, x0: jax.Array) -> Descent:
        """The start, with moments of 0."""
        return Descent(x0, x0, self.transform(x0.size).init(x0), jnp.zeros_like(x0), jnp.zeros((), x0.dtype))

    def step(self, run: "Run", state: Descent) -> Iterate:
        """One update; the loss is that before it."""
        # The number of iterations is not part of the compiled program.
        static = dataclasses.replace(self, iterations=0)
        return Iterate(*run.evaluate(_update, state, config=static))

    def x(self, state: Descent) -> jax.Array:
        """The iterate."""
        return state.x

    def known(self, state: Descent) -> tuple[jax.Array, float]:
        """See :meth:`Optimizer.known`."""
        return state.previous, float("nan")


@partial(jax.jit, static_argnames="config")
def _update(fun: Any, state: Descent, config: FirstOrder) -> tuple[Descent, Any, Any]:
    (value, terms), grad = jax.value_and_grad(fun, has_aux=True)(state.x)
    updates, moments = config.transform(state.x.size).update(grad, state.moments, state.x)
    x = state.x + updates
    if config.bounds is not None:
        x = jnp.clip(x, *config.bounds)
    average, averaged, decay = state.average, state.averaged, config.decay_of_average()
    if decay:
        average = decay * average + (1 - decay) * x
        averaged = averaged + 1
    return Descent(x, state.x, moments, average, averaged), value, terms
