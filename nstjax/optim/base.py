"""The interface of an optimizer: a frozen config with the functions that the loop calls."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax

from nstjax.optim.types import Saved, Status
from nstjax.typing import Scalar, Terms

if TYPE_CHECKING:
    from nstjax.optim.loop import Run


class Iterate(NamedTuple):
    """The result of a step.

    Attributes:
        state: the new state.
        value: the loss.
        terms: the terms of the loss by name.
        status: None after an iteration. Any other status ends the minimization, and the step does not count
            as an iteration.
    """

    state: Any
    value: Scalar | float
    terms: Terms | dict[str, float]
    status: Status | None = None


@dataclasses.dataclass(frozen=True)
class Optimizer(abc.ABC):
    """Base class of the optimizers. Extend it with a frozen dataclass.

    A state is any pytree of arrays. It must hold everything that the next step depends on, because its leaves
    are what is saved. The loop (:func:`nstjax.optim.minimize`) counts iterations, checks the loss, calls the
    callback, stops, saves and resumes.

    Attributes:
        iterations: number of iterations.
    """

    iterations: int = 300

    @abc.abstractmethod
    def init(self, x0: jax.Array) -> Any:
        """Return the state at the start, without an evaluation. Saved states are read into its structure."""

    @abc.abstractmethod
    def step(self, run: "Run", state: Any) -> Iterate:
        """Compute one iteration.

        Args:
            run: evaluates the objective, with :meth:`Run.value_and_grad` or :meth:`Run.evaluate`.
            state: from the last step, from :meth:`init`, or from a saved state.
        """

    @abc.abstractmethod
    def x(self, state: Any) -> jax.Array:
        """Return the iterate, with the shape of the initial image."""

    def output(self, state: Any) -> jax.Array:
        """Return the array to give out: the iterate, or for some methods an average."""
        return self.x(state)

    def known(self, state: Any) -> tuple[jax.Array, float]:
        """Return the last iterate whose loss is known to be finite, and that loss.

        The loss is NaN if the state does not hold it.
        """
        return self.x(state), math.nan

    def carry(self, saved: Saved, x0: jax.Array, resample: Callable[[jax.Array], jax.Array]) -> Saved | None:
        """Return the state to start from at another size, or None to start from :meth:`init`.

        Args:
            saved: the final state of the last minimization.
            x0: the start at the new size.
            resample: maps an array of the old size to the new size.
        """
        return None

    @property
    def most_iterations(self) -> int:
        """Upper limit of the number of iterations."""
        return self.iterations

    def limited(self, count: int) -> Self:
        """Return this optimizer with at most ``count`` iterations.

        Args:
            count: 1 or more.
        """
        return dataclasses.replace(self, iterations=count)

    @property
    def arrays_held(self) -> int:
        """Approximate number of arrays of the size of ``x`` that the method holds at the same time."""
        return 4
