"""The line search of both L-BFGS optimizers, which usually needs one evaluation in each iteration.

In a loop on the device, an evaluation of VGG takes several times as long on a CPU as the same evaluation
called from Python, and the zoom line search of either library takes two evaluations per iteration. The
libraries therefore only give the quasi-Newton direction and keep the curvature pairs, and each iteration is
one jitted program without a loop around the network. If the unit step does not lower the loss enough (the
Armijo condition; Nocedal and Wright, algorithm 3.1), the step is shortened here, in Python. That is rare.
"""

import abc
import dataclasses
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nstjax import programs
from nstjax.optim.base import Iterate, Optimizer

if TYPE_CHECKING:
    from nstjax.optim.loop import Run

ARMIJO = 1e-4  # c1 in Nocedal and Wright


class State(NamedTuple):
    """A point with its loss and gradient. ``memory`` is the library's own state; for JAXopt a dictionary."""

    x: jax.Array
    value: jax.Array
    grad: jax.Array
    memory: Any


class Trial(NamedTuple):
    """The result of a trial step.

    Attributes:
        state: the end point.
        terms: terms of the loss at the end point.
        slope: derivative of the loss along the direction, at the start.
        steepest: largest absolute value in the gradient at the end point.
    """

    state: State
    terms: dict[str, jax.Array]
    slope: jax.Array
    steepest: jax.Array


class _Known(NamedTuple):
    """Numbers of a point on the host."""

    value: float
    terms: dict[str, float]
    steepest: float


@partial(jax.tree_util.register_dataclass, data_fields=["state"], meta_fields=[], drop_fields=["known"])
@dataclasses.dataclass(frozen=True)
class _Point:
    """The state of the optimizer. ``known`` saves a transfer in each step; a restored point has none."""

    state: State
    known: _Known | None = None

    def on_host(self) -> _Known:
        """Return the numbers of the point; without terms if they are not known."""
        if self.known is not None:
            return self.known
        return _Known(float(self.state.value), {}, float(jnp.abs(self.state.grad).max()))


class LineSearch(Optimizer):
    """Base class of the L-BFGS optimizers."""

    history_size: int
    max_backtracks: int

    @property
    @abc.abstractmethod
    def jitted(self) -> tuple[Any, Any]:
        """Two jitted functions, with the config as the static argument.

        ``rest(x, value, grad, config)`` returns the :class:`State` of a point without history.
        ``trial(fun, state, length, config)`` returns the :class:`Trial` of a step of ``length`` times the
        quasi-Newton direction.
        """

    def _static(self) -> "LineSearch":
        """Return the config without the fields that compiled programs do not depend on."""
        return dataclasses.replace(self, iterations=0, max_backtracks=0)  # type: ignore[call-arg]

    def _rest(self, x: jax.Array, value: Any, grad: Any) -> State:
        """Return a point without history."""
        state: State = programs.run(self.jitted[0], (x, value, grad), self._static())
        return state

    def _try(self, run: "Run", state: State, length: float) -> tuple[State, _Known, float]:
        """Compute a trial step, and return the point, its numbers, and the slope."""
        length_there = np.asarray(length, state.x.dtype)
        trial: Trial = run.evaluate(self.jitted[1], state, length_there, config=self._static())
        value, terms, slope, steepest = jax.device_get(
            (trial.state.value, trial.terms, trial.slope, trial.steepest)
        )
        known = _Known(float(value), {name: float(term) for name, term in terms.items()}, float(steepest))
        return trial.state, known, float(slope)

    def _start(self, run: "Run", x: jax.Array) -> _Point:
        """Evaluate the objective at ``x``, and return the point without history."""
        # The gradient in this state is 0, so the trial stays at x. Using the trial program here avoids the
        # compilation of a second program, which is slow.
        there, known, _ = self._try(run, self.init(x).state, 1.0)
        return _Point(self._rest(x, there.value, there.grad), known)

    def init(self, x0: jax.Array) -> _Point:
        """Return a point whose value and gradient are not known yet; they are set to 0."""
        return _Point(self._rest(x0, np.zeros((), x0.dtype), np.zeros(x0.shape, x0.dtype)))

    def step(self, run: "Run", state: _Point) -> Iterate:
        """Compute one iteration; see :meth:`Optimizer.step`."""
        point = state
        fresh = run.iteration == 0  # there is no history yet, so forgetting it cannot help
        if run.evaluations == 0:
            point = self._start(run, point.state.x)
            assert point.known is not None
            run.require_finite(point.known.value, point.known.terms, point.state.x)
        value, terms, steepest = point.on_host()
        run.require_finite(steepest, terms, point.state.x)
        if steepest == 0:
            return Iterate(point, value, terms, "converged")
        while True:
            found, last = self._search(run, point.state, value)
            if found is not None:
                assert found.known is not None
                return Iterate(found, found.known.value, found.known.terms)
            if fresh:
                run.require_finite(last.value, last.terms, point.state.x)
                return Iterate(point, value, terms, "stalled")
            fresh = True
            point = _Point(self._start(run, point.state.x).state, _Known(value, terms, steepest))

    def _search(self, run: "Run", state: State, value: float) -> tuple[_Point | None, _Known]:
        """Return the first point that lowers the loss enough, or None, and the numbers of the last trial."""
        # Near a minimum, the rounding error of the loss must not count as an increase.
        length, slack = 1.0, 4 * float(jnp.finfo(state.x.dtype).eps) * abs(value)
        for _ in range(self.max_backtracks + 1):
            there, known, slope = self._try(run, state, length)
            if slope >= 0 or math.isnan(slope):
                break
            if known.value <= value + ARMIJO * length * slope + slack:
                return _Point(there, known), known
            length = _shorter(length, value, known.value, slope)
        return None, known

    def x(self, state: _Point) -> jax.Array:
        """Return the iterate."""
        return state.state.x

    def known(self, state: _Point) -> tuple[jax.Array, float]:
        """Return the iterate and its loss; see :meth:`Optimizer.known`."""
        return state.state.x, float(state.state.value)

    @property
    def arrays_held(self) -> int:
        """Number of arrays in the old and the new history: two for each pair in each of them."""
        return 4 * self.history_size


def _shorter(length: float, value: float, trial_value: float, slope: float) -> float:
    """Return the minimizer of the parabola through the known values, between 0.1 and 0.5 times ``length``."""
    if not math.isfinite(trial_value):
        return 0.1 * length
    curvature = trial_value - value - length * slope
    best = -slope * length**2 / (2 * curvature) if curvature > 0 else 0.5 * length
    return min(max(best, 0.1 * length), 0.5 * length)
