"""The interface of a style statistic.

A statistic is a frozen dataclass. It is therefore hashable, and equal statistics share a compiled program.
There are two kinds:

- :class:`Means` are made of averages over positions. They work with masks, blends, tiles and several devices.
- :class:`Points` compare activations with activations. They work with masks and blends, but not with tiles.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.losses.distance import distance, relative
from nstjax.typing import FeatureMap, Scalar

if TYPE_CHECKING:
    from nstjax.losses.record import Objective

Description = dict[str, Array]
"""Arrays by name, of one region ``(n, ...)`` or of several ``(n, k, ...)``, for ``n`` images."""


@dataclasses.dataclass(frozen=True)
class Statistic:
    """Base class of both kinds of statistics.

    Class attributes:
        default_weights: default style weight with VGG-19 and relative losses, by distance (``squared``,
            ``absolute``). A distance that is missing is not supported.
        normalizations: supported values of ``style_loss``; see :func:`nstjax.losses.style_loss`.
    """

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 8.0}
    normalizations: ClassVar[tuple[str, ...]] = ("relative", "sum")

    @classmethod
    def from_record(cls, record: "Objective") -> "Statistic":
        """Return the statistic that a record describes; here, the one with default values of all fields."""
        return cls()


@dataclasses.dataclass(frozen=True)
class Means(Statistic):
    """A statistic made of averages over positions.

    Class attributes:
        averages: the averages to compute: ``mean`` of the activations, their ``square``, and their ``gram``
            matrix ``f f'``.
        about_mean: take squares and Gram matrices about the mean, which is then one of the averages. This
            avoids the difference of two large numbers in ``E[ff'] − E[f]E[f]'``.
        counts_positions: add ``positions``, the number of positions or the sum of the mask.
        local: :meth:`maps` computes each position from that position alone. Tiles need this.
    """

    averages: ClassVar[tuple[str, ...]] = ("gram",)
    about_mean: ClassVar[bool] = False
    counts_positions: ClassVar[bool] = False
    local: ClassVar[bool] = True

    def maps(self, features: FeatureMap) -> tuple[FeatureMap, ...]:
        """Return the maps to average, each ``(n, h, w, c)``; by default the activations alone.

        The names of the second map's averages end in 1 (``gram1``), those of the third in 2, and so on.
        """
        return (features,)

    def describe(self, averages: Description) -> Description:
        """Compute the statistics from averages.

        With ``about_mean``, the other averages are taken about the value ``c = stop_gradient(mean)``, a
        constant: ``E[(f − c)(f − c)']``. The covariance is then ``gram − (mean − c)(mean − c)'``, whose last
        term is 0 but has derivatives.

        Args:
            averages: ``gram`` ``(n, k, c, c)``, ``mean`` and ``square`` ``(n, k, c)``, and ``positions``
                ``(n, k)``, as the class attributes ask for.

        Returns:
            Arrays ``(n, k, ...)`` by name; by default the averages.
        """
        return averages

    def target(self, description: Description) -> Description:
        """Compute the target from the statistics of a style image, ``(1, ...)``."""
        return description

    def compare(self, found: Description, target: Description, kind: str) -> tuple[Scalar, Scalar]:
        """Compute the loss of one region, and the size of the target.

        Args:
            found: statistics of the output image, ``(n, ...)``.
            target: from :meth:`target`, ``(1, ...)``.
            kind: ``squared`` or ``absolute``.

        Returns:
            The loss, summed over the batch, and the size by which a relative loss is divided, scalars.
        """
        names = [name for name in found if name != "positions"]
        loss = jnp.stack([distance(found[name] - target[name], kind).sum() for name in names]).sum()
        return loss, jnp.stack([distance(target[name], kind).sum() for name in names]).sum()

    def loss(self, found: Description, target: Description, normalization: str, kind: str) -> Scalar:
        """Compute the style loss of one region, summed over the batch.

        Args:
            found: statistics of the output image, ``(n, ...)``.
            target: from :meth:`target`, ``(1, ...)``.
            normalization: one of ``normalizations``.
            kind: ``squared`` or ``absolute``.
        """
        loss, size = self.compare(found, target, kind)
        return relative(loss, size) if normalization == "relative" else loss


@dataclasses.dataclass(frozen=True)
class Points(Statistic, abc.ABC):
    """A statistic that compares activations with activations."""

    def plan(self, shape: tuple[int, int], mask: np.ndarray | None, layer: str) -> Array | None:
        """Return arrays that stay constant during a run, for example the positions to use, or None.

        It is computed on the host.

        Args:
            shape: rows and columns of the layer.
            mask: mask of the region, ``(h, w)``, or None for all positions.
            layer: name of the layer, for a random seed.
        """
        return None

    @abc.abstractmethod
    def target(self, features: FeatureMap, mask: Array | None) -> Description:
        """Compute the target for a style image.

        Args:
            features: activations, ``(1, h, w, c)``.
            mask: ``(1, h, w)``, or None for all positions.
        """

    @abc.abstractmethod
    def compare(
        self, features: FeatureMap, mask: Array | None, plan: Array | None, target: Description
    ) -> tuple[Scalar, Scalar]:
        """Compute the loss of a region, summed over the batch, and the size of the target.

        Args:
            features: activations of the output image, ``(n, h, w, c)``.
            mask: mask of the region, ``(1, h, w)``, or None for all positions.
            plan: from :meth:`plan`.
            target: from :meth:`target`.

        Returns:
            The loss, and the size by which a relative loss is divided, scalars.
        """

    def loss(
        self,
        features: FeatureMap,
        mask: Array | None,
        plan: Array | None,
        target: Description,
        normalization: str,
    ) -> Scalar:
        """Compute the style loss of one region, summed over the batch.

        Args:
            features: activations of the output image, ``(n, h, w, c)``.
            mask: mask of the region, ``(1, h, w)``, or None for all positions.
            plan: from :meth:`plan`.
            target: from :meth:`target`.
            normalization: one of ``normalizations``.
        """
        loss, size = self.compare(features, mask, plan, target)
        return relative(loss, size) if normalization == "relative" else loss
