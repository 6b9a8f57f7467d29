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
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nstjax import programs
from nstjax.optim.trial import (
    Lbfgs,
    OptaxLbfgs,
    State,
    Trial,
    jaxopt_rest,
    jaxopt_trial,
    optax_rest,
    optax_trial,
)
from nstjax.optim.types import (
    Callback,
    NonFiniteLoss,
    ObjectiveFn,
    Result,
    Saved,
    Status,
    Step,
    as_partial,
    check_saved,
    to_host,
)

ARMIJO = 1e-4  # Nocedal and Wright's c1


def _at_rest(rest: Any, x: jax.Array, value: Any, grad: Any, config: Lbfgs | OptaxLbfgs) -> State:
    state: State = programs.run(rest, (x, value, grad), config)
    return state


def _unknown(rest: Any, x: jax.Array, config: Lbfgs | OptaxLbfgs) -> State:
    """A point whose value and gradient are not known: zeros stand for them."""
    return _at_rest(rest, x, np.zeros((), x.dtype), np.zeros(x.shape, x.dtype), config)


def _to_host(trial: Trial) -> tuple[float, dict[str, float], float, float]:
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
    rest: Any = optax_rest if uses_optax else jaxopt_rest
    trial: Any = optax_trial if uses_optax else jaxopt_trial
    # The number of iterations is no part of the compiled program.
    static = dataclasses.replace(config, iterations=0, max_backtracks=0)
    fun, began = as_partial(fun), time.perf_counter()
    iteration, evaluations, status = 0, 1, "done"

    def start(x: jax.Array) -> Trial:
        # A trial along no direction: one program, slow to compile, for this evaluation and all others.
        there = programs.run(trial, (fun, _unknown(rest, x, static), np.ones((), x.dtype)), static)
        found: Trial = there._replace(state=_at_rest(rest, x, there.state.value, there.state.grad, static))
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

    def saved(state: State = state, iteration: int = iteration, evaluations: int = evaluations) -> Saved:
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


def _x(state: State) -> jax.Array:
    return state.x
