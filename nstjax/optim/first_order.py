"""The common part of Adam and SGD: updates by Optax."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from nstjax.optim.base import Iterate, Optimizer

if TYPE_CHECKING:
    from nstjax.optim.loop import Run


class Descent(NamedTuple):
    """The state of a first-order optimizer.

    Attributes:
        x: the iterate.
        previous: the iterate at which the loss was evaluated last. It is the last good one if the next loss
            is not finite.
        moments: state of the Optax transformation.
        average: decaying sum of the iterates.
        averaged: number of iterates in the sum.
    """

    x: jax.Array
    previous: jax.Array
    moments: Any
    average: jax.Array
    averaged: jax.Array


class FirstOrder(Optimizer):
    """Base class of the first-order optimizers: a frozen dataclass with an Optax transformation."""

    bounds: tuple[float, float] | None

    def transform(self, values: int) -> Any:
        """Return the ``optax.GradientTransformation`` for an array with ``values`` elements."""
        raise NotImplementedError

    def decay_of_average(self) -> float:
        """Return the decay of the average of the iterates; 0 for no average."""
        return 0.0

    def init(self, x0: jax.Array) -> Descent:
        """Return the state at the start, with the initial state of the Optax transformation."""
        return Descent(x0, x0, self.transform(x0.size).init(x0), jnp.zeros_like(x0), jnp.zeros((), x0.dtype))

    def step(self, run: "Run", state: Descent) -> Iterate:
        """Compute one update. The loss is that before the update."""
        # The number of iterations is not part of the compiled program.
        static = dataclasses.replace(self, iterations=0)
        return Iterate(*run.evaluate(_update, state, config=static))

    def x(self, state: Descent) -> jax.Array:
        """Return the iterate."""
        return state.x

    def known(self, state: Descent) -> tuple[jax.Array, float]:
        """Return the previous iterate, and NaN for its loss; see :meth:`Optimizer.known`."""
        return state.previous, float("nan")


@partial(jax.jit, static_argnames="config")
def _update(fun: Any, state: Descent, config: FirstOrder) -> tuple[Descent, Any, Any]:
    """Compute one update; see :meth:`FirstOrder.step`."""
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
