"""The MMD with a Gaussian kernel (Li et al. 2017, table 1), from pairs of positions."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from nstjax.losses.statistics.base import Statistic
from nstjax.losses.statistics.kernel_points import KernelPoints

if TYPE_CHECKING:
    from nstjax.losses.record import Objective


@dataclasses.dataclass(frozen=True)
class Gaussian(KernelPoints):
    """The squared maximum mean discrepancy (MMD) with a Gaussian kernel.

    ``bandwidth`` is the width of the kernel in units of the median distance between the style's activations.
    """

    kernel: str = "gaussian"

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 24.0}

    @classmethod
    def from_record(cls, record: "Objective") -> Statistic:
        """Return the statistic with the record's width and number of samples."""
        return cls(bandwidth=record.bandwidth, samples=record.kernel_samples)
