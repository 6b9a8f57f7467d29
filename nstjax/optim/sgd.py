"""Gradient descent with a decaying step, by optax.

The step of gradient descent depends on the units of the pixels and of the loss. With pixels in [0, 1] in place of 0 to
255 the gradient is 255 times as large and the step must be 255 times as small, so a rate becomes ``rate / 255²``: report
002's 100 becomes 0.0015, for its losses, which are sums over positions
(``python -m experiments.ahmedabad_vgg``). The default objective is a sum of ratios, whose gradient at a pixel falls
with the number of pixels; its rate must rise with that number. :data:`RATE_PER_VALUE` is the default for it.
"""

import dataclasses
from typing import Any

from nstjax.errors import MOST, check_positive, within
from nstjax.optim.checks import check_bounds
from nstjax.optim.first_order import FirstOrder

RATE_PER_VALUE = 3e-6
"""Default rate of :class:`Sgd` for each value of the image (height·width·3), for the default objective.

From the photograph the loss falls in every iteration at 128 pixels (tubingen, starry_night) for a style weight of 180,
with VGG-19 and with the embedded network, and so for smaller weights, whose curvature is less. With 1e-5 VGG-19's loss
still falls, but not in every iteration; with 1e-4 and a weight of 180 it becomes infinite. Losses on other scales need a
rate of their own.
"""


@dataclasses.dataclass(frozen=True)
class Sgd(FirstOrder):
    """Gradient descent with exponential decay (report 002; its rate of 100 is for pixels of 0 to 255)."""

    iterations: int = 3000
    """Iterations."""
    learning_rate: float | None = None
    """Initial step, for pixels in [0, 1]; none given means 3e-6 times the image's number of values, for relative losses."""
    decay_rate: float = 0.96
    """Factor on the step after every decay_steps iterations, applied smoothly."""
    decay_steps: int = 100
    """See decay_rate."""
    bounds: tuple[float, float] | None = None
    """Clamp to this range after each step."""

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            check_positive("learning_rate", self.learning_rate)
        check_bounds(self.bounds)
        check_positive("decay_rate", self.decay_rate, most=1.0)
        within("decay_steps", self.decay_steps, 1, MOST)

    def transform(self, values: int) -> Any:
        """``optax.sgd``."""
        import optax  # late: the default optimiser does not need it

        rate = RATE_PER_VALUE * values if self.learning_rate is None else self.learning_rate
        return optax.sgd(optax.exponential_decay(rate, self.decay_steps, self.decay_rate))
