"""The interface of a style statistic.

A statistic is a frozen dataclass, so that it is hashable and equal ones share a compiled program. There are two kinds:

- :class:`Means` are made of averages over positions. They work with masks, blends, tiles and several devices.
- :class:`Points` compare the activations themselves. They work with masks and blends, not with tiles.
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
"""Arrays by name, of one region of one image ``(n, ...)``, or of several ``(n, k, ...)``."""


@dataclasses.dataclass(frozen=True)
class Statistic:
    """The base of both kinds.

    Class attributes:
        default_weights: style weight of VGG-19 by distance (``squared``, ``absolute``) for relative losses. A distance that
            is missing is not supported.
        normalizations: values of ``style_loss`` that are supported; see :func:`nstjax.losses.style_loss`.
    """

    default_weights: ClassVar[Mapping[str, float]] = {"squared": 8.0}
    normalizations: ClassVar[tuple[str, ...]] = ("relative", "sum")

    @classmethod
    def from_record(cls, record: "Objective") -> "Statistic":
        """The statistic that a record describes; by default with the default values of all fields."""
        return cls()


@dataclasses.dataclass(frozen=True)
class Means(Statistic):
    """A statistic made of averages over positions.

    Class attributes:
        averages: what is averaged: ``mean`` of the activations, their ``square``, their ``gram`` matrix ``f f'``.
        about_mean: take squares and Gram matrices about the mean, which is then one of the averages. No two large numbers
            are subtracted, as they are in ``E[ff'] − E[f]E[f]'``.
        counts_positions: add ``positions``, their number or a mask's sum.
        local: :meth:`maps` looks at each position by itself. Otherwise there are no tiles.
    """

    averages: ClassVar[tuple[str, ...]] = ("gram",)
    about_mean: ClassVar[bool] = False
    counts_positions: ClassVar[bool] = False
    local: ClassVar[bool] = True

    def maps(self, features: FeatureMap) -> tuple[FeatureMap, ...]:
        """The maps that are averaged, each ``(n, h, w, c)``; by default the activations alone.

        The averages of the second map have names that end in 1 (``gram1``), and so on.
        """
        return (features,)

    def describe(self, averages: Description) -> Description:
        """Return the statistics from averages: ``gram`` ``(n, k, c, c)``, ``mean`` and ``square`` ``(n, k, c)``.

        With ``about_mean``, ``mean`` has its derivatives and the others are about its value: ``E[(f − c)(f − c)']`` with a
        constant ``c``. The covariance is ``gram − (mean − c)(mean − c)'`` with ``c = stop_gradient(mean)``.
        """
        return averages

    def target(self, description: Description) -> Description:
        """Return the target for the statistics of a style image, ``(1, ...)``."""
        return description

    def compare(self, found: Description, target: Description, kind: str) -> tuple[Scalar, Scalar]:
        """The loss and the target's own size, by which a relative loss is divided.

        Args:
            found: of the picture, ``(n, ...)``.
            target: of the style, ``(1, ...)``.
            kind: ``squared`` or ``absolute``.
        """
        names = [name for name in found if name != "positions"]
        loss = jnp.stack([distance(found[name] - target[name], kind).sum() for name in names]).sum()
        return loss, jnp.stack([distance(target[name], kind).sum() for name in names]).sum()

    def loss(self, found: Description, target: Description, normalization: str, kind: str) -> Scalar:
        """The style loss of one region, summed over the batch."""
        loss, size = self.compare(found, target, kind)
        return relative(loss, size) if normalization == "relative" else loss


@dataclasses.dataclass(frozen=True)
class Points(Statistic, abc.ABC):
    """A statistic that compares activations with activations, position by position."""

    def plan(self, shape: tuple[int, int], mask: np.ndarray | None, layer: str) -> Array | None:
        """Return constants of a run computed on the host, for example the positions to use. None by default.

        Args:
            shape: rows and columns of the layer.
            mask: of the region, ``(h, w)``; None for all positions.
            layer: its name, for a seed.
        """
        return None

    @abc.abstractmethod
    def target(self, features: FeatureMap, mask: Array | None) -> Description:
        """Return the target for a style image.

        Args:
            features: ``(1, h, w, c)``.
            mask: ``(1, h, w)``, or None for all positions.
        """

    @abc.abstractmethod
    def compare(
        self, features: FeatureMap, mask: Array | None, plan: Array | None, target: Description
    ) -> tuple[Scalar, Scalar]:
        """The loss of a region, summed over the batch, and the target's own size.

        Args:
            features: of the picture, ``(n, h, w, c)``.
            mask: of the region, ``(1, h, w)``, or None.
            plan: from :meth:`plan`.
            target: from :meth:`target`.
        """

    def loss(
        self,
        features: FeatureMap,
        mask: Array | None,
        plan: Array | None,
        target: Description,
        normalization: str,
    ) -> Scalar:
        """The style loss of one region."""
        loss, size = self.compare(features, mask, plan, target)
        return relative(loss, size) if normalization == "relative" else loss
