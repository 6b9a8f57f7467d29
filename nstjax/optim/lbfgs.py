"""L-BFGS by JAXopt, the default optimizer."""

import dataclasses
import functools
import math
import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nstjax.errors import InputError
from nstjax.optim.checks import check_history_size
from nstjax.optim.line_search import LineSearch, State, Trial


@dataclasses.dataclass(frozen=True)
class Lbfgs(LineSearch):
    """``jaxopt.LBFGS``, the default."""

    iterations: int = 300
    """Iterations."""
    history_size: int = 20
    """Curvature pairs kept."""
    initial_step: float = 0.05
    """Largest change of a value in the first iteration, when nothing is known of the curvature."""
    max_backtracks: int = 12
    """Shorter steps tried before the history is thrown away."""

    def __post_init__(self) -> None:
        check_history_size(self.history_size)
        if not 0 < self.initial_step < math.inf:
            raise InputError(
                f"`initial_step` is {self.initial_step}: it must be a finite number greater than 0"
            )

    @property
    def jitted(self) -> tuple[Any, Any]:
        """``(_rest, _trial)``; see :class:`LineSearch`."""
        return _rest, _trial


@functools.cache
def _jaxopt() -> Any:
    """Import JAXopt where a function is traced. A cached program does not need it and starts sooner."""
    with warnings.catch_warnings():
        # The import raises this warning once. Tests check that JAXopt works with the installed JAX.
        warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
        import jaxopt
    return jaxopt


def _jaxopt_solver(value_and_grad: Any, history_size: int, stepsize: Any = 1.0) -> Any:
    """Return a JAXopt solver with a constant step length and no line search of its own."""
    return _jaxopt().LBFGS(
        fun=value_and_grad,
        value_and_grad=True,
        has_aux=True,
        # A callable, so that the step length can be an argument of the compiled program.
        stepsize=lambda _: stepsize,
        history_size=history_size,
        implicit_diff=False,
    )


@partial(jax.jit, static_argnames="config")
def _rest(x: jax.Array, value: jax.Array, grad: jax.Array, config: Lbfgs) -> State:
    """Return a point without history."""
    known = _jaxopt_solver(lambda _: ((value, None), grad), config.history_size)
    steepest = jnp.abs(grad).max()
    # γ scales the first direction, −γ·g, so that its largest element changes by `initial_step`.
    gamma = config.initial_step / jnp.maximum(steepest, jnp.finfo(x.dtype).tiny)
    memory = known.init_state(x)._replace(gamma=jnp.where(steepest > 0, gamma, 1.0))
    # A dictionary, so that a cached program can be loaded without JAXopt.
    return State(x, value, grad, memory._asdict())


@partial(jax.jit, static_argnames="config")
def _trial(fun: Any, state: State, length: jax.Array, config: Lbfgs) -> Trial:
    """Evaluate a step of ``length`` times JAXopt's direction."""
    known = _jaxopt_solver(lambda _: ((state.value, None), state.grad), config.history_size)
    before = known.init_state(state.x)._replace(**state.memory)
    evaluate = jax.value_and_grad(fun, has_aux=True)
    x, after = _jaxopt_solver(evaluate, config.history_size, length).update(state.x, before)
    slope = jnp.vdot(before.grad, x - state.x) / length
    # A pair with s'y ≤ 0 would make the Hessian estimate indefinite. The Wolfe conditions exclude such pairs,
    # but the Armijo condition does not, and JAXopt stores them. With ρ = 0 a pair has no effect.
    slot = before.iter_num % config.history_size
    usable = after.rho_history[slot] > 0
    terms, after = (
        after.aux,
        after._replace(
            aux=None,
            rho_history=jnp.where(usable, after.rho_history, after.rho_history.at[slot].set(0.0)),
            gamma=jnp.where(usable, after.gamma, before.gamma),
        ),
    )
    return Trial(State(x, after.value, after.grad, after._asdict()), terms, slope, jnp.abs(after.grad).max())
