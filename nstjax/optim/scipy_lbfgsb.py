"""SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995), as report 001 used it."""

import dataclasses
import math
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import MOST, within
from nstjax.optim.types import (
    Callback,
    NonFiniteLoss,
    ObjectiveFn,
    Result,
    Saved,
    Step,
    as_partial,
    check_bounds,
    check_history_size,
    check_saved,
    to_floats,
)


@dataclasses.dataclass(frozen=True)
class ScipyLbfgsb:
    """``scipy.optimize.minimize(method="L-BFGS-B")``, in one call or in rounds."""

    iterations: int = 300
    """Iterations in a round (SciPy's maxiter)."""
    maxfun: int = 15000
    """Evaluations in a round (SciPy's maxfun); the last iteration may exceed it."""
    rounds: int = 1
    """Calls of SciPy, each from the last one's result with an empty history."""
    history_size: int = 10
    """Curvature pairs kept (SciPy's maxcor)."""
    bounds: tuple[float, float] | None = None
    """Least and greatest allowed value of every element."""

    def __post_init__(self) -> None:
        check_history_size(self.history_size)
        check_bounds(self.bounds)
        within("rounds", self.rounds, 1, MOST)
        within("maxfun", self.maxfun, 1, MOST)


@jax.jit
def _evaluate(fun: Any, x: jax.Array) -> Any:
    return jax.value_and_grad(fun, has_aux=True)(x)


class _Stop(Exception):
    """Carries a stop on request out of SciPy."""


def minimise_scipy(
    fun: ObjectiveFn,
    x0: jax.Array,
    config: ScipyLbfgsb,
    callback: Callback | None = None,
    resume: Saved | None = None,
) -> Result:
    """See :func:`nstjax.optim.minimise`.

    SciPy does not let its state be taken out, so a :class:`Saved` of this method is of the start of the
    current round; a resumed run repeats that round, and ends in the same bits.
    """
    import scipy.optimize

    fun, began = as_partial(fun), time.perf_counter()
    dtype, shape = x0.dtype, x0.shape
    if resume is not None:
        check_saved(resume, config, (x0, 0))
    x = np.asarray(x0 if resume is None else resume.leaves[0], np.float64).ravel()
    first_round = 0 if resume is None else int(resume.leaves[1])
    iteration = 0 if resume is None else resume.iteration
    evaluations = 0 if resume is None else resume.evaluations
    seen: dict[str, Any] = {"value": math.nan, "terms": {}}

    def value_and_grad(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal evaluations
        evaluations += 1
        point = jnp.asarray(flat.reshape(shape), dtype)
        (value, terms), grad = _evaluate(fun, point)
        number, named = to_floats(value, terms)
        if not math.isfinite(number) and evaluations == 1:
            raise NonFiniteLoss(x0, iteration, named)
        seen.update(value=number, terms=named)
        # A non-finite trial is a very large one to the line search, which then shortens the step.
        gradient = np.asarray(grad, np.float64).ravel()
        return (number, gradient) if math.isfinite(number) else (1e300, np.nan_to_num(gradient))

    status = "done"

    def on_iteration(intermediate_result: Any) -> None:  # SciPy goes by the argument's name
        nonlocal iteration, x
        iteration += 1
        x = np.array(intermediate_result.x)
        if callback is None:
            return
        point = partial(jnp.asarray, x.reshape(shape), dtype)
        value, seconds, at_rest = float(intermediate_result.fun), time.perf_counter() - began, begin
        if callback(Step(iteration, value, seen["terms"], evaluations, seconds, point, lambda: at_rest)):
            raise _Stop

    for round_index in range(first_round, config.rounds):
        # Each round starts from what can be saved, so that a resumed run takes the same path.
        x = x.astype(dtype).astype(np.float64)
        begin = Saved(
            type(config).__name__, iteration, evaluations, (x.reshape(shape).astype(dtype), round_index)
        )
        bounds = None if config.bounds is None else [config.bounds] * x.size
        options = {
            "maxiter": config.iterations,
            "maxfun": config.maxfun,
            "maxcor": config.history_size,
            # Weights scale the loss at will, so no absolute tolerance can be right.
            "ftol": 0.0,
            "gtol": 0.0,
        }
        try:
            found = scipy.optimize.minimize(
                value_and_grad,
                x,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                callback=on_iteration,
                options=options,
            )
        except _Stop:
            status = "stopped"
            break
        x, value = found.x, float(found.fun)
        seen["value"] = value
        if found.status == 2:  # abnormal: the line search found nothing lower
            status = "stalled"
            break
        if found.status == 0:
            status = "converged"
            break
    result = jnp.asarray(x.reshape(shape), dtype)
    end = Saved(type(config).__name__, iteration, evaluations, (np.asarray(result), config.rounds))
    return Result(result, seen["value"], iteration, evaluations, status, end)  # type: ignore[arg-type]
