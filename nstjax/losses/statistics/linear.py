"""Mean activations, which correspond to the linear kernel ``x'y`` (Li et al. 2017, table 1)."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from nstjax.losses.statistics.base import Means


@dataclasses.dataclass(frozen=True)
class Linear(Means):
    """The mean of the activations, ``mean`` ``(n, k, c)``."""

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 22.0, "absolute": 8.0}
    averages: ClassVar[tuple[str, ...]] = ("mean",)
