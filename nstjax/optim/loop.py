"""The loop that all optimizers share."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nstjax import programs
from nstjax.errors import InputError
from nstjax.optim.base import Optimizer
from nstjax.optim.hoist import hoist
from nstjax.optim.types import NonFiniteLoss, ObjectiveFn, Result, Saved, Status, Step, StepCallback
from nstjax.typing import Scalar, Terms


class _Stopped(Exception):
    """The callback asked to stop. It is an exception because SciPy calls back from within its own loop."""


@partial(jax.jit, static_argnames="config")
def _value_and_grad(fun: Any, x: jax.Array, config: None) -> Any:
    return jax.value_and_grad(fun, has_aux=True)(x)


class Run:
    """A minimization in progress, as the steps of an optimizer see it.

    Attributes:
        iteration: number of iterations done, including those before a resumption.
        evaluations: number of evaluations of value and gradient, likewise.
        value: the last loss, or NaN if none is known.
    """

    def __init__(
        self, fun: ObjectiveFn, x0: jax.Array, optimizer: Optimizer, callback: StepCallback | None
    ) -> None:
        self._fun, self._optimizer, self._callback = hoist(fun, x0), optimizer, callback
        self._began = time.perf_counter()
        self.iteration = self.evaluations = 0
        self.value = math.nan

    def evaluate(self, program: Any, *arguments: Any, config: Any) -> Any:
        """Call ``program(fun, *arguments, config)`` and count one evaluation.

        Args:
            program: a function transformed by ``jax.jit`` whose last argument is static. It evaluates the
                objective once.
            arguments: pytrees of arrays.
            config: the static argument: hashable, with a ``repr`` that determines it.
        """
        self.evaluations += 1
        # The names of cached programs cover the code of nstjax and of its libraries, but no other code.
        if program.__module__.startswith("nstjax."):
            return programs.run(program, (self._fun, *arguments), config)
        return program(self._fun, *arguments, config)

    def value_and_grad(self, x: jax.Array) -> tuple[jax.Array, dict[str, jax.Array], jax.Array]:
        """Compute the loss, its terms and the gradient at ``x``."""
        (value, terms), gradient = self.evaluate(_value_and_grad, x, config=None)
        return value, terms, gradient

    def require_finite(self, value: float, terms: dict[str, float], x: jax.Array) -> None:
        """Check that a value is finite.

        Args:
            value: the loss, or another number that must be finite.
            terms: terms of the loss by name; the message names those that are not finite.
            x: the last iterate whose loss was finite.

        Raises:
            NonFiniteLoss: If the value is infinite or NaN.
        """
        if not math.isfinite(value):
            raise NonFiniteLoss(x, self.iteration, terms)

    def rest(self, state: Any) -> None:
        """Make ``state`` the state that a run resumes from."""
        self.x: Callable[[], jax.Array] = partial(self._optimizer.output, state)
        self.saved = partial(_save, self._optimizer, self.iteration, self.evaluations, state)

    def tell(self, value: float, terms: dict[str, float], x: Callable[[], jax.Array]) -> None:
        """Count an iteration within a step, for methods that have their own loop.

        Args:
            value: the loss.
            terms: terms of the loss by name.
            x: returns the iterate.
        """
        self.iteration += 1
        self.x = x
        self._call_back(value, terms)

    def finish_iteration(self, value: float, terms: dict[str, float], state: Any) -> None:
        """Count the iteration that led to ``state``, and call the callback.

        Args:
            value: the loss.
            terms: terms of the loss by name.
            state: the state after the iteration.
        """
        self.iteration += 1
        self.rest(state)
        self._call_back(value, terms)

    def _call_back(self, value: float, terms: dict[str, float]) -> None:
        """Call the callback, and raise :class:`_Stopped` if it asks to stop."""
        self.value = value
        if self._callback is not None:
            seconds = time.perf_counter() - self._began
            step = Step(self.iteration, value, terms, self.evaluations, seconds, self.x, self.saved)
            if self._callback(step):
                raise _Stopped


def minimize(
    fun: ObjectiveFn,
    x0: jax.Array,
    config: Optimizer,
    callback: StepCallback | None = None,
    resume: Saved | None = None,
) -> Result:
    """Minimize a differentiable function of one array.

    Args:
        fun: ``fun(x) -> (value, terms)``: a scalar, and a dictionary of the scalars it is made of. A plain
            function is traced once, and the arrays that it captures become arguments of the compiled program.
        x0: the start, of any shape and floating dtype. The computation uses the same dtype.
        config: the optimizer, for example :class:`nstjax.optim.Lbfgs`.
        callback: called after every iteration with a :class:`Step`; returning true stops.
        resume: state to start from instead of ``x0``, which then only gives shape and dtype. The result is
            bit-identical to that of the uninterrupted run.

    Returns:
        The last iterate, or the average of the iterates if the optimizer computes it, with its loss and the
        state.

    Raises:
        InputError: If ``config.iterations`` is less than 1, or ``resume`` belongs to another optimizer or shape.
        NonFiniteLoss: If the loss or the result is not finite. The exception holds the last iterate with a
            finite loss.
    """
    if config.iterations < 1:
        raise InputError(f"`iterations` is {config.iterations}: it must be 1 or more")
    run = Run(fun, x0, config, callback)
    state = config.init(x0)
    if resume is not None:
        state = check_saved(resume, config, state)
        run.iteration, run.evaluations = resume.iteration, resume.evaluations
    run.rest(state)
    good, run.value = config.known(state)
    status: Status = "done"
    try:
        while run.iteration < config.most_iterations:
            found = config.step(run, state)
            value, terms = to_floats(found.value, found.terms)
            if found.status is not None:
                run.rest(found.state)
                run.value, status = value, found.status
                break
            run.require_finite(value, terms, good)
            state, good = found.state, config.x(state)
            run.finish_iteration(value, terms, state)
    except _Stopped:
        status = "stopped"
    x = run.x()
    if not bool(jnp.isfinite(x).all()):  # some methods do not evaluate the loss at the last iterate
        raise NonFiniteLoss(good, run.iteration, {})
    return Result(x, run.value, run.iteration, run.evaluations, status, run.saved())


minimise = minimize
"""The same function under its earlier name."""


def to_floats(value: Scalar | float, terms: Terms | dict[str, float]) -> tuple[float, dict[str, float]]:
    """Return the loss and its terms as floats on the host, in one transfer."""
    value, terms = jax.device_get((value, terms))
    return float(value), {name: float(term) for name, term in terms.items()}


def _save(optimizer: Optimizer, iteration: int, evaluations: int, state: Any) -> Saved:
    """Copy a state to the host."""
    leaves = tuple(np.asarray(leaf) for leaf in jax.device_get(jax.tree.leaves(state)))
    return Saved(type(optimizer).__name__, iteration, evaluations, leaves)


def initial(optimizer: Optimizer, state: Any) -> Saved:
    """Return a saved state to start from, before any iteration."""
    return _save(optimizer, 0, 0, state)


def _form(leaf: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape of an array and the kind of its dtype."""
    return np.shape(leaf), np.asarray(leaf).dtype.kind


def check_saved(saved: Saved, optimizer: Optimizer, template: Any) -> Any:
    """Return the state that ``saved`` holds, in the structure of ``template``.

    Args:
        saved: the saved state.
        optimizer: the optimizer that resumes from it.
        template: a state of the same structure, shapes and kinds of numbers.

    Raises:
        InputError: If the state belongs to another method, or has other shapes or kinds of numbers.
    """
    found, expected = (
        [_form(leaf) for leaf in leaves] for leaves in (saved.leaves, jax.tree.leaves(template))
    )
    if saved.method != type(optimizer).__name__ or found != expected:
        raise InputError("the saved state is of another optimizer or size: start without `resume`")
    return jax.tree.unflatten(jax.tree.structure(template), [jnp.asarray(leaf) for leaf in saved.leaves])
