"""Argument and result types of :func:`nstjax.optim.minimize`."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax

from nstjax.typing import Scalar, Terms

ObjectiveFn = Callable[[jax.Array], tuple[Scalar, Terms]]
"""``fun(x) -> (value, terms)``, differentiable: a plain function or a ``jax.tree_util.Partial``."""

Status = Literal["done", "stopped", "converged", "stalled"]


@dataclasses.dataclass(frozen=True)
class Saved:
    """The state of a minimization between two iterations. The result of a resumed run is bit-identical.

    Attributes:
        method: name of the optimizer's class.
        iteration: number of iterations done.
        evaluations: number of evaluations of value and gradient.
        leaves: the arrays of the optimizer's state, in the order of ``jax.tree.leaves``.
    """

    method: str
    iteration: int
    evaluations: int
    leaves: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """The state of a run after an iteration, for callbacks.

    Attributes:
        iteration: number of the iteration, from 1.
        value: the loss: at the new iterate for the L-BFGS methods, before the update for Adam and SGD.
        terms: terms of the loss by name.
        evaluations: number of evaluations of value and gradient so far.
        seconds: time since the call of :func:`nstjax.optim.minimize`.
        x: returns the iterate, or the average of the iterates if the optimizer computes it.
        saved: returns the last state that a run can resume from.
    """

    iteration: int
    value: float
    terms: dict[str, float]
    evaluations: int
    seconds: float
    x: Callable[[], jax.Array]
    saved: Callable[[], Saved]


StepCallback = Callable[[Step], bool | None]
"""Function that is called after every iteration; returning true stops the minimization."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a minimization.

    Attributes:
        x: the last iterate, or the average of the iterates if the config asks for it.
        value: the last loss.
        iterations: total number of iterations, including those before a resumption.
        evaluations: total number of evaluations of value and gradient, likewise.
        status: ``"done"`` (all iterations), ``"stopped"`` (by the callback), ``"converged"`` (the gradient is
            zero, or the method's own test), or ``"stalled"`` (no step lowers the loss in this precision).
        saved: the last state that a run can resume from.
    """

    x: jax.Array
    value: float
    iterations: int
    evaluations: int
    status: Status
    saved: Saved


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or NaN.

    Attributes:
        x: the last iterate whose loss was finite, or the start if there was none.
        iteration: number of iterations done before.
    """

    def __init__(self, x: jax.Array, iteration: int, terms: dict[str, float]) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        what = ", ".join(bad) if bad else "their sum or its gradient"
        super().__init__(
            f"the loss is not finite at iteration {iteration} ({what}): try a smaller weight for that term, a "
            f"smaller `learning_rate`, or `optimizer` lbfgs"
        )
        self.x, self.iteration = x, iteration
