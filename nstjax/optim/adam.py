"""Adam by Optax, with an optional average of the iterates."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nstjax.errors import InputError, check_positive
from nstjax.optim.checks import check_bounds
from nstjax.optim.first_order import Descent, FirstOrder
from nstjax.optim.loop import check_saved, initial
from nstjax.optim.types import Saved


@dataclasses.dataclass(frozen=True)
class Adam(FirstOrder):
    """Adam (Kingma and Ba 2015)."""

    iterations: int = 500
    """Iterations."""
    learning_rate: float = 0.02
    """Step, in units of the pixel's range [0, 1]."""
    b1: float = 0.9
    """Decay of the mean of gradients."""
    b2: float = 0.99
    """Decay of the mean of squared gradients."""
    average: float = 0.0
    """Decay of the bias-corrected exponential average of the iterates, which is then the result; 0 is off."""
    bounds: tuple[float, float] | None = None
    """Clamp to this range after each step."""

    def __post_init__(self) -> None:
        check_positive("learning_rate", self.learning_rate)
        check_bounds(self.bounds)
        for field in ("b1", "b2", "average"):
            value = getattr(self, field)
            if not 0 <= value < 1:
                raise InputError(f"`{field}` is {value}: it must be 0 or more and less than 1")

    def transform(self, values: int) -> Any:
        """Return ``optax.adam``."""
        import optax  # imported here because the default optimizer does not need it

        return optax.adam(self.learning_rate, self.b1, self.b2)

    def decay_of_average(self) -> float:
        """Return the decay of the average; see :class:`FirstOrder`."""
        return self.average

    def output(self, state: Descent) -> jax.Array:
        """Return the bias-corrected average if there is one, otherwise the iterate."""
        if not (self.average and float(state.averaged)):
            return state.x
        return state.average / (1 - self.average**state.averaged)

    def carry(self, saved: Saved, x0: jax.Array, resample: Callable[[jax.Array], jax.Array]) -> Saved:
        """Resample the moments and keep the step count. The average starts anew.

        Args:
            saved: the final state of the last minimization.
            x0: the start at the new size.
            resample: maps an array of the old size to the new size.

        Returns:
            The state to start from.
        """
        from optax import ScaleByAdamState

        old_shape = saved.leaves[0].shape
        state = check_saved(saved, self, self.init(jnp.zeros(old_shape, x0.dtype)))

        def carried(leaf: jax.Array) -> jax.Array:
            return resample(leaf) if leaf.shape == old_shape else leaf

        def not_negative(moments: Any) -> Any:  # a `resample` of the caller may overshoot
            if not isinstance(moments, ScaleByAdamState):
                return moments
            return moments._replace(nu=jnp.maximum(moments.nu, 0))

        moments = jax.tree.map(
            not_negative,
            jax.tree.map(carried, state.moments),
            is_leaf=lambda leaf: isinstance(leaf, ScaleByAdamState),
        )
        return initial(self, self.init(x0)._replace(moments=moments))
