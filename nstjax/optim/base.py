"""The interface of an optimizer: a frozen config with the functions that the loop calls."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

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
        terms: its terms by name.
        status: None after an iteration. Any other status ends the minimisation, and this was no iteration.
    """

    state: Any
    value: Scalar | float
    terms: Terms | dict[str, float]
    status: Status | None = None


@dataclasses.dataclass(frozen=True)
class Optimizer(abc.ABC):
    """Base class of the optimisers: extend it by a frozen dataclass.

    A state is any pytree of arrays. It holds all that the next step depends on, since its leaves are what is saved.
    The loop (:func:`nstjax.optim.minimise`) counts, checks the loss, calls the callback, stops, saves and resumes.

    Attributes:
        iterations: number of iterations.
    """

    iterations: int = 300

    @abc.abstractmethod
    def init(self, x0: jax.Array) -> Any:
        """The state at the start, without an evaluation; also the structure into which a saved state is read."""

    @abc.abstractmethod
    def step(self, run: "Run", state: Any) -> Iterate:
        """One iteration.

        Args:
            run: evaluates the objective, by :meth:`Run.value_and_grad` or :meth:`Run.evaluate`.
            state: from the last step, from :meth:`init`, or from a saved state.
        """

    @abc.abstractmethod
    def x(self, state: Any) -> jax.Array:
        """The iterate."""

    def output(self, state: Any) -> jax.Array:
        """The array to give out: the iterate, unless the method returns an average or the like."""
        return self.x(state)

    def known(self, state: Any) -> tuple[jax.Array, float]:
        """The last iterate whose loss a saved state knows to be finite, and that loss, or NaN if not saved."""
        return self.x(state), math.nan

    def carry(self, saved: Saved, x0: jax.Array, resample: Callable[[jax.Array], jax.Array]) -> Saved | None:
        """The state to start from at another size, or None to start from :meth:`init`.

        Args:
            saved: the final state of the last minimisation.
            x0: the start at the new size.
            resample: maps an array of the old size to the new one.
        """
        return None

    @property
    def most_iterations(self) -> int:
        """Upper limit on the number of iterations."""
        return self.iterations

    @property
    def arrays_held(self) -> int:
        """About how many arrays of the size of ``x`` the method holds at once."""
        return 4
