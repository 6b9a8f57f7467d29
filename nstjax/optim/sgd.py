"""Gradient descent with a decaying learning rate, by Optax.

The learning rate of gradient descent depends on the units of the pixels and of the loss. With pixels in
[0, 1] instead of 0 to 255, the gradient is 255 times as large and the step must be 255 times as small, so a
rate becomes ``rate / 255²``. The Ahmedabad report's 100 becomes 0.0015, for its losses, which are sums over
positions (``python -m experiments.ahmedabad_vgg``).

The default objective is a sum of ratios. Its gradient at a pixel decreases with the number of pixels, so the
rate must increase with it. :data:`RATE_PER_VALUE` gives the default rate for this objective.
"""

import dataclasses
from typing import Any

from nstjax.errors import MOST, check_positive, within
from nstjax.optim.checks import check_bounds
from nstjax.optim.first_order import FirstOrder

RATE_PER_VALUE = 3e-6
"""Default rate of :class:`Sgd` for each value of the image (height·width·3), for the default objective.

Starting from the content image (tubingen, with starry_night as the style) at 128 pixels and a style weight of
180, the loss decreases in every iteration, with VGG-19 and with the embedded network. It also does for
smaller weights, whose curvature is smaller. With a rate of 1e-5 VGG-19's loss still decreases, but not in
every iteration. With 1e-4 and a weight of 180 it becomes infinite. Losses on other scales need a rate of
their own.
"""


@dataclasses.dataclass(frozen=True)
class Sgd(FirstOrder):
    """Gradient descent with exponential decay, as in the Ahmedabad report.

    The report's rate of 100 is for pixels of 0 to 255.
    """

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
        """Return ``optax.sgd`` with an exponentially decaying rate."""
        import optax  # imported here because the default optimizer does not need it

        rate = RATE_PER_VALUE * values if self.learning_rate is None else self.learning_rate
        return optax.sgd(optax.exponential_decay(rate, self.decay_steps, self.decay_rate))
