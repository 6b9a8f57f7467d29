"""The MMD with the polynomial kernel ``(x'y + c)^d`` (Li et al. 2017, table 1).

Up to degree 2 it is computed from averages, otherwise from pairs of positions.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp

from nstjax.losses.distance import distance
from nstjax.losses.statistics.base import Description, Means, Statistic
from nstjax.losses.statistics.kernel_points import KernelPoints
from nstjax.typing import Scalar

if TYPE_CHECKING:
    from nstjax.losses.record import Objective


@dataclasses.dataclass(frozen=True)
class Polynomial(Means):
    """The MMD with a polynomial kernel of degree 1 or 2, which has a finite feature map.

    It is computed from the Gram matrix ``gram`` and the mean ``mean``. Activations are measured in units of
    the root mean square norm of the style's activations, so that the offset has the same meaning at every
    layer.
    """

    degree: int = 2
    offset: float = 0.0

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 8.0}
    averages: ClassVar[tuple[str, ...]] = ("gram", "mean")

    @classmethod
    def from_record(cls, record: "Objective") -> Statistic:
        """Return the statistic of the record's degree and offset.

        It is a :class:`KernelPoints` if the degree is 3 or more.
        """
        if record.kernel_degree > 2:
            return KernelPoints(
                "polynomial", record.kernel_degree, record.kernel_offset, samples=record.kernel_samples
            )
        return cls(record.kernel_degree, record.kernel_offset)

    def target(self, description: Description) -> Description:
        """Add ``scale``, the mean square norm of the activations."""
        return {**description, "scale": jnp.trace(description["gram"], axis1=1, axis2=2)[0]}

    def compare(self, found: Description, target: Description, kind: str) -> tuple[Scalar, Scalar]:
        """Compute the loss and the size of the target. Arguments as in :meth:`Means.compare`.

        The loss follows from ``(x'y + c)² = (x'y)² + 2c x'y + c²``, whose constant cancels. The size contains
        ``c^d``, too.
        """
        scale = jnp.where(target["scale"] > 0, target["scale"], 1.0)
        units = {"gram": scale, "mean": jnp.sqrt(scale)}
        factors = {"gram": 1.0, "mean": 2 * self.offset} if self.degree == 2 else {"gram": 0.0, "mean": 1.0}
        found, target = (
            {name: described[name] / units[name] for name in factors} for described in (found, target)
        )
        loss = jnp.stack([f * distance(found[n] - target[n], kind).sum() for n, f in factors.items()]).sum()
        size = jnp.stack([f * distance(target[n], kind).sum() for n, f in factors.items()]).sum()
        return loss, size + self.offset**self.degree
