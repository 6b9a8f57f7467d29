"""L-BFGS driven from the host: jaxopt's, and optax's, with one evaluation an iteration as a rule.

Inside a device loop a VGG evaluation is several times slower on a CPU than the same evaluation called
from Python, and the zoom line search of either library takes two evaluations an iteration. So the
libraries give the quasi-Newton direction and keep the curvature pairs, each iteration being one jitted
program without a loop around the network; the step is halved here, in Python, where the unit step does
not lower the loss enough (Armijo's condition; Nocedal and Wright, algorithm 3.1). That is rare.
"""

import dataclasses
import math
import time
import warnings
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nstjax.errors import InputError
from nstjax.optim.types import (
    Callback,
    NonFiniteLoss,
    ObjectiveFn,
    Result,
    Saved,
    Status,
    Step,
    as_partial,
    check_history_size,
    check_saved,
    to_floats,
    to_host,
)

with warnings.catch_warnings():
    # Raised once, by the import; the version is pinned by tests, not by upstream's promises.
    warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
    import jaxopt

ARMIJO = 1e-4  # Nocedal and Wright's c1


@dataclasses.dataclass(frozen=True)
class Lbfgs:
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
                f"--initial-step is {self.initial_step}: it must be a finite number greater than 0"
            )


@dataclasses.dataclass(frozen=True)
class OptaxLbfgs:
    """``optax.lbfgs``, under the same search for a step; its first step has the norm 1 at most."""

    iterations: int = 300
    """Iterations."""
    history_size: int = 20
    """Curvature pairs kept."""
    max_backtracks: int = 12
    """Shorter steps tried before the history is thrown away."""

    def __post_init__(self) -> None:
        check_history_size(self.history_size)


class _State(NamedTuple):
    """A point with what is known there. ``memory`` is the library's own state."""

    x: jax.Array
    value: jax.Array
    grad: jax.Array
    terms: dict[str, jax.Array]
    memory: Any


def _jaxopt_solver(value_and_grad: Any, history_size: int, stepsize: Any = 1.0) -> Any:
    return jaxopt.LBFGS(
        fun=value_and_grad,
        value_and_grad=True,
        has_aux=True,
        # A callable, so that the step's length can be an argument of the compiled program.
        stepsize=lambda _: stepsize,
        history_size=history_size,
        implicit_diff=False,
    )


@partial(jax.jit, static_argnames="config")
def _jaxopt_rest(x: jax.Array, value: jax.Array, grad: jax.Array, terms: Any, config: Lbfgs) -> _State:
    """A point with no history."""
    known = _jaxopt_solver(lambda _: ((value, terms), grad), config.history_size)
    steepest = jnp.abs(grad).max()
    # γ scales the first direction, −γ·g, to a change of `initial_step` in its largest element.
    gamma = config.initial_step / jnp.maximum(steepest, jnp.finfo(x.dtype).tiny)
    memory = known.init_state(x)._replace(gamma=jnp.where(steepest > 0, gamma, 1.0))
    return _State(x, value, grad, terms, memory)


@partial(jax.jit, static_argnames="config")
def _jaxopt_trial(fun: Any, state: _State, length: jax.Array, config: Lbfgs) -> tuple[_State, jax.Array]:
    before = state.memory
    evaluate = jax.value_and_grad(fun, has_aux=True)
    x, after = _jaxopt_solver(evaluate, config.history_size, length).update(state.x, before)
    slope = jnp.vdot(before.grad, x - state.x) / length
    # A pair with s'y ≤ 0 would make the Hessian's estimate indefinite. Armijo's condition does not
    # exclude such pairs as Wolfe's would, and jaxopt stores them: with ρ = 0 a pair has no effect.
    slot = before.iter_num % config.history_size
    usable = after.rho_history[slot] > 0
    after = after._replace(
        rho_history=jnp.where(usable, after.rho_history, after.rho_history.at[slot].set(0.0)),
        gamma=jnp.where(usable, after.gamma, before.gamma),
    )
    return _State(x, after.value, after.grad, after.aux, after), slope


def _optax_transform(config: OptaxLbfgs) -> Any:
    return optax.lbfgs(memory_size=config.history_size, linesearch=None)


@partial(jax.jit, static_argnames="config")
def _optax_rest(x: jax.Array, value: jax.Array, grad: jax.Array, terms: Any, config: OptaxLbfgs) -> _State:
    """A point with no history."""
    return _State(x, value, grad, terms, _optax_transform(config).init(x))


@partial(jax.jit, static_argnames="config")
def _optax_trial(fun: Any, state: _State, length: jax.Array, config: OptaxLbfgs) -> tuple[_State, jax.Array]:
    direction, memory = _optax_transform(config).update(state.grad, state.memory, state.x)
    x = state.x + length * direction
    (value, terms), grad = jax.value_and_grad(fun, has_aux=True)(x)
    return _State(x, value, grad, terms, memory), jnp.vdot(state.grad, direction)


def _unknown(rest: Any, fun: Any, x: jax.Array, config: Lbfgs | OptaxLbfgs) -> _State:
    """A point whose value and gradient are not known: zeros stand for them."""
    value, terms = jax.eval_shape(fun, x)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (value, terms))
    state: _State = rest(x, zeros[0], jnp.zeros_like(x), zeros[1], config)
    return state


def _shorter(length: float, value: float, trial_value: float, slope: float) -> float:
    """The minimiser of the parabola through what is known, kept within [0.1, 0.5] of ``length``."""
    if not math.isfinite(trial_value):
        return 0.1 * length
    curvature = trial_value - value - length * slope
    best = -slope * length**2 / (2 * curvature) if curvature > 0 else 0.5 * length
    return min(max(best, 0.1 * length), 0.5 * length)


def minimise_lbfgs(
    fun: ObjectiveFn,
    x0: jax.Array,
    config: Lbfgs | OptaxLbfgs,
    callback: Callback | None = None,
    resume: Saved | None = None,
) -> Result:
    """See :func:`nstjax.optim.minimise`."""
    uses_optax = isinstance(config, OptaxLbfgs)
    rest: Any = _optax_rest if uses_optax else _jaxopt_rest
    trial: Any = _optax_trial if uses_optax else _jaxopt_trial
    # The number of iterations is no part of the compiled program.
    static = dataclasses.replace(config, iterations=0, max_backtracks=0)
    fun, began = as_partial(fun), time.perf_counter()
    iteration, evaluations, status = 0, 1, "done"

    def start(x: jax.Array) -> _State:
        # A trial along no direction: one program, slow to compile, for this evaluation and all others.
        there, _ = trial(fun, _unknown(rest, fun, x, static), jnp.ones((), x.dtype), static)
        found: _State = rest(x, there.value, there.grad, there.terms, static)
        return found

    if resume is None:
        state = start(x0)
    else:
        state = check_saved(resume, config, _unknown(rest, fun, x0, static))
        iteration, evaluations = resume.iteration, resume.evaluations
    value, terms = to_floats(state.value, state.terms)
    if not math.isfinite(value):
        raise NonFiniteLoss(x0, iteration, terms)
    slack = 4 * float(jnp.finfo(state.x.dtype).eps)

    def saved(state: _State = state, iteration: int = iteration, evaluations: int = evaluations) -> Saved:
        return Saved(type(config).__name__, iteration, evaluations, to_host(state))

    fresh = iteration == 0  # whether the direction is the gradient's, so that a reset cannot help
    while iteration < config.iterations:
        steepest = float(jnp.abs(state.grad).max())
        if not math.isfinite(steepest):
            raise NonFiniteLoss(state.x, iteration, terms)
        if steepest == 0:
            status = "converged"
            break
        length, accepted, trial_terms = 1.0, None, terms
        for _ in range(config.max_backtracks + 1):
            candidate, slope_array = trial(fun, state, jnp.asarray(length, state.x.dtype), static)
            evaluations += 1
            trial_value, trial_terms = to_floats(candidate.value, candidate.terms)
            slope = float(slope_array)
            if slope >= 0 or math.isnan(slope):
                break
            # Rounding of the loss itself must not look like an increase near a minimum.
            if trial_value <= value + ARMIJO * length * slope + slack * abs(value):
                accepted = candidate
                break
            length = _shorter(length, value, trial_value, slope)
        if accepted is None:
            if not fresh:
                fresh = True
                state = start(state.x)
                evaluations += 1
                continue
            if not math.isfinite(trial_value):
                raise NonFiniteLoss(state.x, iteration, trial_terms)
            status = "stalled"
            break
        state, value, terms, fresh = accepted, trial_value, trial_terms, False
        iteration += 1
        if callback is not None:
            seconds = time.perf_counter() - began
            keep = partial(saved, state, iteration, evaluations)
            if callback(Step(iteration, value, terms, evaluations, seconds, partial(_x, state), keep)):
                status = "stopped"
                break
    final: Status = status  # type: ignore[assignment]
    return Result(state.x, value, iteration, evaluations, final, saved(state, iteration, evaluations))


def _x(state: _State) -> jax.Array:
    return state.x
