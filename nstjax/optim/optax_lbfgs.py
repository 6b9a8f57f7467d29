"""L-BFGS by Optax."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nstjax.optim.checks import check_history_size
from nstjax.optim.line_search import LineSearch, State, Trial


@dataclasses.dataclass(frozen=True)
class OptaxLbfgs(LineSearch):
    """``optax.lbfgs``, with the same line search as :class:`nstjax.optim.Lbfgs`.

    Its first step has a norm of at most 1. It is meant to replace :class:`nstjax.optim.Lbfgs` when JAXopt,
    which is no longer maintained, stops working with new versions of JAX.
    """

    iterations: int = 300
    """Iterations."""
    history_size: int = 20
    """Curvature pairs kept."""
    max_backtracks: int = 12
    """Shorter steps tried before the history is thrown away."""

    def __post_init__(self) -> None:
        check_history_size(self.history_size)

    @property
    def jitted(self) -> tuple[Any, Any]:
        """``(_rest, _trial)``; see :class:`LineSearch`."""
        return _rest, _trial


def _optax_transform(config: OptaxLbfgs) -> Any:
    """Return the Optax transformation without a line search."""
    import optax

    return optax.lbfgs(memory_size=config.history_size, linesearch=None)


@partial(jax.jit, static_argnames="config")
def _rest(x: jax.Array, value: jax.Array, grad: jax.Array, config: OptaxLbfgs) -> State:
    """Return a point without history."""
    return State(x, value, grad, _optax_transform(config).init(x))


@partial(jax.jit, static_argnames="config")
def _trial(fun: Any, state: State, length: jax.Array, config: OptaxLbfgs) -> Trial:
    """Evaluate a step of ``length`` times Optax's direction."""
    direction, memory = _optax_transform(config).update(state.grad, state.memory, state.x)
    x = state.x + length * direction
    (value, terms), grad = jax.value_and_grad(fun, has_aux=True)(x)
    slope = jnp.vdot(state.grad, direction)
    return Trial(State(x, value, grad, memory), terms, slope, jnp.abs(grad).max())
