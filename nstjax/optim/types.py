"""What :func:`nstjax.optim.minimise` takes and returns."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax

from nstjax.typing import Scalar, Terms

ObjectiveFn = Callable[[jax.Array], tuple[Scalar, Terms]]
"""``fun(x) -> (value, terms)``, differentiable; a plain function or a ``jax.tree_util.Partial``."""

Status = Literal["done", "stopped", "converged", "stalled"]


@dataclasses.dataclass(frozen=True)
class Saved:
    """The state of a minimisation between two iterations; resuming from it changes no bit of the result.

    Attributes:
        method: name of the optimiser's class.
        iteration: number of iterations done.
        evaluations: number of evaluations of value and gradient.
        leaves: the arrays of the optimiser's state, in the order of ``jax.tree.leaves``.
    """

    method: str
    iteration: int
    evaluations: int
    leaves: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """The state of a run after an iteration, for callbacks.

    Attributes:
        iteration: 1 for the first.
        value: the loss; at the new iterate for the L-BFGS family, before the update for Adam and SGD.
        terms: its terms by name.
        evaluations: number of evaluations of value and gradient so far.
        seconds: time since the call of :func:`nstjax.optim.minimise`.
        x: returns the iterate.
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
"""Called after every iteration; returning true stops the minimisation."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a minimisation.

    Attributes:
        x: the last iterate, or the average of the iterates where the config asks for it.
        value: the last loss.
        iterations: total number of iterations, including those before a resumption.
        evaluations: total number of evaluations of value and gradient, likewise.
        status: ``"done"`` (all iterations), ``"stopped"`` (by the callback), ``"converged"`` (zero
            gradient, or the method's own test), ``"stalled"`` (no step lowers the loss in this precision).
        saved: the last state that a run can resume from.
    """

    x: jax.Array
    value: float
    iterations: int
    evaluations: int
    status: Status
    saved: Saved


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or not a number.

    Attributes:
        x: the last iterate whose loss was finite (the start, if there was none).
        iteration: number of iterations done before it.
    """

    def __init__(self, x: jax.Array, iteration: int, terms: dict[str, float]) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        what = ", ".join(bad) if bad else "their sum or its gradient"
        super().__init__(
            f"the loss is not finite at iteration {iteration} ({what}): try a smaller weight for that term, a "
            f"smaller `learning_rate`, or `optimizer` lbfgs"
        )
        self.x, self.iteration = x, iteration
