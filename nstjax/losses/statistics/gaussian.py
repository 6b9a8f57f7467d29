"""The Gaussian kernel (Li et al. 2017, table 1), by points."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from nstjax.losses.statistics.base import Statistic
from nstjax.losses.statistics.kernel_points import KernelPoints

if TYPE_CHECKING:
    from nstjax.losses.record import Objective


@dataclasses.dataclass(frozen=True)
class Gaussian(KernelPoints):
    """Its width is in units of the median distance of the style's activations."""

    kernel: str = "gaussian"

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 24.0}

    @classmethod
    def from_record(cls, record: "Objective") -> Statistic:
        """Width and number of samples are the record's."""
        return cls(bandwidth=record.bandwidth, samples=record.kernel_samples)
