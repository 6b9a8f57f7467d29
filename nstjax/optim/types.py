"""What every optimiser takes, tells and returns."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np

from nstjax.errors import InputError
from nstjax.typing import Scalar, Terms

ObjectiveFn = Callable[[jax.Array], tuple[Scalar, Terms]]
"""``fun(x) -> (value, terms)``, differentiable; a plain function or a ``jax.tree_util.Partial``."""

MOST_PAIRS = 1000  # of L-BFGS: more are more than an image of memory each, and no use

Status = Literal["done", "stopped", "converged", "stalled"]


@dataclasses.dataclass(frozen=True)
class Saved:
    """A minimisation at rest between two iterations; going on from it changes no bit of the result.

    Attributes:
        method: name of the configuration's class.
        iteration: iterations done.
        evaluations: of value and gradient, so far.
        leaves: arrays of the state, in an order known to the method.
    """

    method: str
    iteration: int
    evaluations: int
    leaves: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """What a callback is told after an iteration.

    Attributes:
        iteration: 1 for the first.
        value: the loss; at the new iterate for the L-BFGS family, before the update for Adam and SGD.
        terms: its terms by name.
        evaluations: of value and gradient, so far.
        seconds: since the call of :func:`minimise`.
        x: gives the iterate, on demand.
        saved: gives the state, on demand.
    """

    iteration: int
    value: float
    terms: dict[str, float]
    evaluations: int
    seconds: float
    x: Callable[[], jax.Array]
    saved: Callable[[], Saved]


Callback = Callable[[Step], bool | None]
"""Called after every iteration; a true answer stops the minimisation."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a minimisation.

    Attributes:
        x: the minimiser, or the average of the iterates where that was asked for.
        value: the last loss told.
        iterations: done in all, those before a resumption included.
        evaluations: of value and gradient, likewise.
        status: ``"done"`` (all iterations), ``"stopped"`` (by the callback), ``"converged"`` (zero
            gradient, or the method's own test), ``"stalled"`` (no step lowers the loss in this precision).
        saved: the final state.
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
        iteration: at which it happened.
    """

    def __init__(self, x: jax.Array, iteration: int, terms: dict[str, float]) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        what = ", ".join(bad) if bad else "their sum or its gradient"
        super().__init__(
            f"the loss is not finite at iteration {iteration} ({what}): try a smaller weight for that term, a "
            f"smaller `learning_rate`, or lbfgs as the `optimizer`"
        )
        self.x, self.iteration = x, iteration


def check_history_size(size: int) -> None:
    """Raise :class:`InputError` unless the number of curvature pairs makes sense."""
    if not 1 <= size <= MOST_PAIRS:
        raise InputError(f"`history_size` is {size}: it must be between 1 and {MOST_PAIRS}")


def check_bounds(bounds: tuple[float, float] | None) -> None:
    """Raise :class:`InputError` unless the bounds are finite and the lower one is below the upper one."""
    if bounds is not None and not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise InputError(
            f"`bounds` is {bounds[0]} {bounds[1]}: both must be finite, and the first less than the second"
        )


def as_partial(fun: ObjectiveFn) -> Any:
    """The objective as a pytree, so that arrays inside it are arguments of compiled code."""
    return fun if isinstance(fun, jax.tree_util.Partial) else jax.tree_util.Partial(fun)


def to_floats(value: Scalar, terms: Terms) -> tuple[float, dict[str, float]]:
    """Loss and terms on the host, in one transfer."""
    value, terms = jax.device_get((value, terms))
    return float(value), {name: float(term) for name, term in terms.items()}


def to_host(leaves: Any) -> tuple[Any, ...]:
    """Leaves of a state as NumPy arrays."""
    return tuple(np.asarray(leaf) for leaf in jax.device_get(jax.tree.leaves(leaves)))


def _form(leaf: Any) -> tuple[tuple[int, ...], str]:
    """Shape, and kind of number."""
    return np.shape(leaf), np.asarray(leaf).dtype.kind


def check_saved(saved: Saved, config: object, template: Any) -> Any:
    """The state that ``saved`` holds, in the structure of ``template``.

    Raises:
        InputError: it is of another method, of other shapes, or of other kinds of numbers.
    """
    found, expected = (
        [_form(leaf) for leaf in leaves] for leaves in (saved.leaves, jax.tree.leaves(template))
    )
    if saved.method != type(config).__name__ or found != expected:
        raise InputError("the saved state is of another optimiser or size: start without `resume`")
    return jax.tree.unflatten(
        jax.tree.structure(template), [jax.numpy.asarray(leaf) for leaf in saved.leaves]
    )
