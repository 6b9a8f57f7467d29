"""What is taken of a layer's activations as style: Gram matrix, means, moments, or a kernel's mean embedding.

Each is a maximum mean discrepancy (Li et al. 2017, arXiv 1701.01036, table 1) or, for ``wasserstein``, the
optimal transport between two normal distributions. Where a kernel has a finite map, the statistic is the
mean of that map, of the whole or of each region; the other kernels compare points with points.
"""

import dataclasses
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from nstjax.losses.distance import distance, relative
from nstjax.losses.gram import gram_matrix, style_loss
from nstjax.losses.points import points_loss, points_target
from nstjax.losses.spatial import Masks, Plan, guided_gram, guided_sum, planned_gram
from nstjax.losses.wasserstein import covariance_root, wasserstein2
from nstjax.typing import FeatureMap, Scalar

STATISTICS = ("gram", "linear", "moments", "polynomial", "gaussian", "wasserstein")
StatisticName = Literal["gram", "linear", "moments", "polynomial", "gaussian", "wasserstein"]
VARIANCE_FLOOR = 1e-5  # as in batch normalisation: the root has no slope at 0

Description = dict[str, jnp.ndarray]


@dataclasses.dataclass(frozen=True)
class Statistic:
    """Which statistic, with a kernel's parameters; the fields are those of ``Objective``."""

    name: StatisticName = "gram"
    degree: int = 2
    offset: float = 0.0
    bandwidth: float | None = None
    samples: int = 512

    @property
    def by_points(self) -> bool:
        """Whether points are compared with points, no finite map being at hand."""
        return self.name == "gaussian" or (self.name == "polynomial" and self.degree > 2)


MOMENTS = {  # what is averaged over positions for each
    "gram": ("gram",),
    "linear": ("mean",),
    "moments": ("mean", "square"),
    "polynomial": ("gram", "mean"),
    "wasserstein": ("gram", "mean"),
}


@partial(jax.jit, static_argnums=0)
def describe(
    statistic: Statistic, features: FeatureMap, masks: Masks | None, plan: Plan | None = None
) -> Description:
    """The statistic of each region, a dict of arrays ``(n, k, …)``; without masks ``k`` is 1.

    A plan of the same masks makes it cheaper.

    ============== ==================================================================
    ``gram``       ``gram``: the mean outer product; kernel (x'y)²
    ``linear``     ``mean``: kernel x'y
    ``moments``    ``mean`` and ``std``: batch-norm statistics (Li et al. 2017, section 4.2)
    ``polynomial`` degree 1 or 2: ``gram`` and ``mean``, of which (x'y + c)^d is made
    ``wasserstein`` ``mean`` and ``covariance``
    ============== ==================================================================
    """
    n, h, w, c = features.shape

    def mean_of(x: FeatureMap) -> jnp.ndarray:
        return x.reshape(n, 1, h * w, c).mean(2) if masks is None else guided_sum(x, masks)

    def gram() -> jnp.ndarray:
        if masks is None:
            return gram_matrix(features, "positions")[:, None]
        return guided_gram(features, masks) if plan is None else planned_gram(features, plan)

    moments = {
        "gram": gram,
        "mean": lambda: mean_of(features),
        "square": lambda: mean_of(jnp.square(features)),
    }
    return describe_moments(statistic, {name: moments[name]() for name in MOMENTS[statistic.name]})


def describe_moments(statistic: Statistic, moments: Description) -> Description:
    """The statistic from averages over positions: ``gram`` ``(n, k, c, c)``, ``mean`` and ``square`` ``(n, k, c)``."""
    if statistic.name == "moments":
        mean = moments["mean"]
        variance = jnp.maximum(moments["square"] - jnp.square(mean), 0.0)
        return {"mean": mean, "std": jnp.sqrt(variance + VARIANCE_FLOOR)}
    if statistic.name == "wasserstein":
        mean = moments["mean"]
        return {
            "mean": mean,
            "covariance": moments["gram"] - mean[..., :, None] * mean[..., None, :],
        }
    return moments


def moment_sums(statistic: Statistic, features: FeatureMap, weights: Masks) -> Description:
    """What :func:`describe_moments` takes, as sums ``(1, k, …)`` over positions with weights that get no gradient.

    Sums of a map's parts add up to those of the whole; divided by the weights' sums they are averages.
    """
    k, c = len(weights), features.shape[-1]
    f = features.reshape(1, -1, c)
    root = jnp.sqrt(weights).reshape(k, -1, 1).astype(f.dtype)
    moments = {
        "gram": lambda: gram_matrix((root * f)[:, None])[None],
        "mean": lambda: jnp.matmul(jnp.square(root)[..., 0], f[0], precision=lax.Precision.HIGHEST)[None],
        "square": lambda: jnp.square(root * f).sum(1)[None],
    }
    return {name: moments[name]() for name in MOMENTS[statistic.name]}


def make_target(statistic: Statistic, features: FeatureMap, mask: Masks | None) -> Description:
    """What :func:`discrepancy` compares with, from a style image's activations.

    Args:
        statistic: which.
        features: ``(1, h, w, c)``.
        mask: ``(1, h, w)`` or none for all positions.
    """
    if statistic.by_points:
        return points_target(
            features,
            mask,
            statistic.name,
            statistic.degree,
            statistic.offset,
            statistic.bandwidth,
            statistic.samples,
        )
    found = {name: value[:, 0] for name, value in describe(statistic, features, mask).items()}
    if statistic.name == "wasserstein":
        covariance = found.pop("covariance")
        return {
            **found,
            "root": covariance_root(covariance),
            "trace": jnp.trace(covariance, axis1=1, axis2=2),
        }
    if statistic.name == "polynomial":
        # The mean square norm: (x'y/s² + c)^d means the same at every layer and for every network.
        return {**found, "scale": jnp.trace(found["gram"], axis1=1, axis2=2)[0]}
    return found


def discrepancy(
    statistic: Statistic, found: Description, target: Description, normalization: str, kind: str
) -> Scalar:
    """The loss of one region from its description: ``(n, …)`` against a target's ``(1, …)``.

    ``normalization`` is that of :func:`nstjax.losses.style_loss`; ``relative`` divides by the target's
    own squared norm in the kernel's space (for ``wasserstein`` by its second moment).
    """
    if statistic.name == "gram":
        return style_loss(found["gram"], target["gram"], normalization, kind)
    by_size = normalization == "relative"
    if statistic.name == "wasserstein":
        loss = wasserstein2(found["mean"], found["covariance"], target["mean"], target["root"]).sum()
        size = jnp.square(target["mean"]).sum() + target["trace"].sum()
        return relative(loss, size) if by_size else loss
    if statistic.name == "polynomial":
        scale, c = target["scale"], statistic.offset
        scale = jnp.where(scale > 0, scale, 1.0)
        # (x'y + c)² = (x'y)² + 2c x'y + c²: the constant is the same for both.
        factors = {"gram": 1.0, "mean": 2 * c} if statistic.degree == 2 else {"gram": 0.0, "mean": 1.0}
        constant = c**statistic.degree
        units = {"gram": scale, "mean": jnp.sqrt(scale)}
        found = {name: found[name] / units[name] for name in factors}
        target = {name: target[name] / units[name] for name in factors}
    else:
        factors, constant = dict.fromkeys(found, 1.0), 0.0
    loss = jnp.stack(
        [f * distance(found[name] - target[name], kind).sum() for name, f in factors.items()]
    ).sum()
    size = jnp.stack([f * distance(target[name], kind).sum() for name, f in factors.items()]).sum() + constant
    return relative(loss, size) if by_size else loss


def discrepancy_of_points(
    statistic: Statistic,
    features: FeatureMap,
    mask: Masks | None,
    order: jnp.ndarray,
    target: Description,
    normalization: str,
) -> Scalar:
    """The loss of one region by points; see :func:`nstjax.losses.points.points_loss`."""
    return points_loss(
        features,
        mask,
        order,
        target,
        statistic.name,
        statistic.degree,
        statistic.offset,
        statistic.samples,
        normalization == "relative",
    )
