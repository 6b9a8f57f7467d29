"""SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995), as in the Brown report."""

import dataclasses
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import MOST, within
from nstjax.optim.base import Iterate, Optimizer
from nstjax.optim.checks import check_bounds, check_history_size
from nstjax.optim.types import Status

if TYPE_CHECKING:
    from nstjax.optim.loop import Run

_DONE: Status = "done"
_STATUS: dict[int, Status] = {0: "converged", 2: "stalled"}  # 2: the line search found no lower value


@dataclasses.dataclass(frozen=True)
class ScipyLbfgsb(Optimizer):
    """``scipy.optimize.minimize(method="L-BFGS-B")``, in one call or in several rounds.

    SciPy runs its own loop and does not give access to its state. All rounds are therefore one step, which
    reports each iteration itself. A saved state is that of the start of the current round; a resumed run
    repeats that round, and its result is bit-identical.
    """

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

    def init(self, x0: jax.Array) -> tuple[Any, Any]:
        """Return the start and the index of the round."""
        return x0, 0

    def x(self, state: tuple[Any, Any]) -> jax.Array:
        """Return the iterate at the start of the round, or at the end of the run."""
        return jnp.asarray(state[0])

    def step(self, run: "Run", state: tuple[Any, Any]) -> Iterate:
        """Compute all rounds."""
        import scipy.optimize

        dtype, shape = state[0].dtype, state[0].shape
        terms: dict[str, Any] = {}

        def value_and_grad(flat: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal terms
            point = jnp.asarray(flat.reshape(shape), dtype)
            value, terms, grad = jax.device_get(run.value_and_grad(point))
            if run.evaluations == 1:
                run.require_finite(float(value), terms, point)
            # The line search gets a very large value for a non-finite trial, and then shortens the step.
            gradient = np.asarray(grad, np.float64).ravel()
            return (float(value), gradient) if math.isfinite(value) else (1e300, np.nan_to_num(gradient))

        def on_iteration(intermediate_result: Any) -> None:  # SciPy recognizes this name of the argument
            x = np.array(intermediate_result.x).reshape(shape)
            named = {name: float(term) for name, term in terms.items()}
            run.tell(float(intermediate_result.fun), named, partial(jnp.asarray, x, dtype))

        x, value, status = np.asarray(state[0], np.float64).ravel(), math.nan, _DONE
        for index in range(int(state[1]), self.rounds):
            # Rounded to the dtype in which the state is saved, so that a resumed run gives the same result.
            x = x.astype(dtype).astype(np.float64)
            run.rest((x.reshape(shape).astype(dtype), index))
            found = scipy.optimize.minimize(
                value_and_grad,
                x,
                jac=True,
                method="L-BFGS-B",
                bounds=None if self.bounds is None else [self.bounds] * x.size,
                callback=on_iteration,
                options={
                    "maxiter": self.iterations,
                    "maxfun": self.maxfun,
                    "maxcor": self.history_size,
                    # The scale of the loss depends on its weights, so no absolute tolerance is suitable.
                    "ftol": 0.0,
                    "gtol": 0.0,
                },
            )
            x, value = found.x, float(found.fun)
            status = _STATUS.get(found.status, _DONE)
            if status != _DONE:
                break
        end = np.asarray(jnp.asarray(x.reshape(shape), dtype)), self.rounds
        return Iterate(end, value, {}, status)

    @property
    def most_iterations(self) -> int:
        """Upper limit of the number of iterations in all rounds."""
        return self.rounds * min(self.iterations, self.maxfun)

    def limited(self, count: int) -> Self:
        """Return this optimizer with at most ``count`` iterations in all rounds."""
        each = min(self.iterations, self.maxfun, count)
        return dataclasses.replace(self, iterations=each, rounds=min(self.rounds, count // each))

    @property
    def arrays_held(self) -> int:
        """Two arrays for each pair, in float64, which takes twice the memory of float32."""
        return 4 * self.history_size
