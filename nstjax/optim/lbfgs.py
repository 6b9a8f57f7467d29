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
import numpy as np

from nstjax import programs
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
    memory: Any


class _Trial(NamedTuple):
    """A point that has been tried: the loss's terms, the slope that led there, the gradient's largest element."""

    state: _State
    terms: dict[str, jax.Array]
    slope: jax.Array
    steepest: jax.Array


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
def _jaxopt_rest(x: jax.Array, value: jax.Array, grad: jax.Array, config: Lbfgs) -> _State:
    """A point with no history."""
    known = _jaxopt_solver(lambda _: ((value, None), grad), config.history_size)
    steepest = jnp.abs(grad).max()
    # γ scales the first direction, −γ·g, to a change of `initial_step` in its largest element.
    gamma = config.initial_step / jnp.maximum(steepest, jnp.finfo(x.dtype).tiny)
    memory = known.init_state(x)._replace(gamma=jnp.where(steepest > 0, gamma, 1.0))
    return _State(x, value, grad, memory)


@partial(jax.jit, static_argnames="config")
def _jaxopt_trial(fun: Any, state: _State, length: jax.Array, config: Lbfgs) -> _Trial:
    before = state.memory
    evaluate = jax.value_and_grad(fun, has_aux=True)
    x, after = _jaxopt_solver(evaluate, config.history_size, length).update(state.x, before)
    slope = jnp.vdot(before.grad, x - state.x) / length
    # A pair with s'y ≤ 0 would make the Hessian's estimate indefinite. Armijo's condition does not
    # exclude such pairs as Wolfe's would, and jaxopt stores them: with ρ = 0 a pair has no effect.
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
    return _Trial(_State(x, after.value, after.grad, after), terms, slope, jnp.abs(after.grad).max())


def _optax_transform(config: OptaxLbfgs) -> Any:
    import optax

    return optax.lbfgs(memory_size=config.history_size, linesearch=None)


@partial(jax.jit, static_argnames="config")
def _optax_rest(x: jax.Array, value: jax.Array, grad: jax.Array, config: OptaxLbfgs) -> _State:
    """A point with no history."""
    return _State(x, value, grad, _optax_transform(config).init(x))


@partial(jax.jit, static_argnames="config")
def _optax_trial(fun: Any, state: _State, length: jax.Array, config: OptaxLbfgs) -> _Trial:
    direction, memory = _optax_transform(config).update(state.grad, state.memory, state.x)
    x = state.x + length * direction
    (value, terms), grad = jax.value_and_grad(fun, has_aux=True)(x)
    slope = jnp.vdot(state.grad, direction)
    return _Trial(_State(x, value, grad, memory), terms, slope, jnp.abs(grad).max())


def _unknown(rest: Any, x: jax.Array, config: Lbfgs | OptaxLbfgs) -> _State:
    """A point whose value and gradient are not known: zeros stand for them."""
    state: _State = rest(x, np.zeros((), x.dtype), np.zeros(x.shape, x.dtype), config)
    return state


def _to_host(trial: _Trial) -> tuple[float, dict[str, float], float, float]:
    """Loss, terms, slope and the gradient's largest element, in one transfer."""
    value, terms, slope, steepest = jax.device_get(
        (trial.state.value, trial.terms, trial.slope, trial.steepest)
    )
    return float(value), {name: float(term) for name, term in terms.items()}, float(slope), float(steepest)


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

    def start(x: jax.Array) -> _Trial:
        # A trial along no direction: one program, slow to compile, for this evaluation and all others.
        there = programs.run(trial, (fun, _unknown(rest, x, static), np.ones((), x.dtype)), static)
        found: _Trial = there._replace(state=rest(x, there.state.value, there.state.grad, static))
        return found

    if resume is None:
        first = start(x0)
        state = first.state
        value, terms, _, steepest = _to_host(first)
    else:
        state = check_saved(resume, config, _unknown(rest, x0, static))
        iteration, evaluations = resume.iteration, resume.evaluations
        value, terms, steepest = float(state.value), {}, float(jnp.abs(state.grad).max())
    if not math.isfinite(value):
        raise NonFiniteLoss(x0, iteration, terms)
    slack = 4 * float(jnp.finfo(state.x.dtype).eps)

    def saved(state: _State = state, iteration: int = iteration, evaluations: int = evaluations) -> Saved:
        return Saved(type(config).__name__, iteration, evaluations, to_host(state))

    fresh = iteration == 0  # whether the direction is the gradient's, so that a reset cannot help
    while iteration < config.iterations:
        if not math.isfinite(steepest):
            raise NonFiniteLoss(state.x, iteration, terms)
        if steepest == 0:
            status = "converged"
            break
        length, accepted, trial_terms = 1.0, None, terms
        for _ in range(config.max_backtracks + 1):
            candidate = programs.run(trial, (fun, state, np.asarray(length, state.x.dtype)), static)
            evaluations += 1
            trial_value, trial_terms, slope, steepest_there = _to_host(candidate)
            if slope >= 0 or math.isnan(slope):
                break
            # Rounding of the loss itself must not look like an increase near a minimum.
            if trial_value <= value + ARMIJO * length * slope + slack * abs(value):
                accepted, steepest = candidate.state, steepest_there
                break
            length = _shorter(length, value, trial_value, slope)
        if accepted is None:
            if not fresh:
                fresh = True
                state = start(state.x).state
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
