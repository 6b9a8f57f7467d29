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
CENTRED = ("moments", "wasserstein")
"""Statistics with a (co)variance: their squares and Gram matrices are taken about a shift, the mean as a constant.

``E[(f − c)(f − c)'] − (E[f] − c)(E[f] − c)'`` is the covariance for every ``c``, with all derivatives. With ``c``
near the mean no two large numbers are subtracted, as they are in ``E[ff'] − E[f]E[f]'``.
"""


@partial(jax.jit, static_argnums=0)
def describe(
    statistic: Statistic, features: FeatureMap, masks: Masks | None, plan: Plan | None = None
) -> Description:
    """The statistic of each region, a dict of arrays ``(n, k, …)``; without masks ``k`` is 1.

    A plan of the same masks makes it cheaper.

    ============== ==================================================================
    ``gram``       ``gram``: the mean outer product; kernel (x'y)²; and ``positions``, their number, ``(n, k)``
    ``linear``     ``mean``: kernel x'y
    ``moments``    ``mean`` and ``std``: batch-norm statistics (Li et al. 2017, section 4.2)
    ``polynomial`` degree 1 or 2: ``gram`` and ``mean``, of which (x'y + c)^d is made
    ``wasserstein`` ``mean`` and ``covariance``
    ============== ==================================================================
    """
    n, h, w, c = features.shape

    def mean_of(x: FeatureMap) -> jnp.ndarray:
        return x.reshape(n, 1, h * w, c).mean(2) if masks is None else guided_sum(x, masks)

    def gram(x: FeatureMap, masks: Masks | None) -> jnp.ndarray:
        return gram_matrix(x, "positions")[:, None] if masks is None else guided_gram(x, masks)

    if statistic.name not in CENTRED:
        moments = {
            "gram": lambda: gram(features, masks) if plan is None else planned_gram(features, plan),
            "mean": lambda: mean_of(features),
        }
        found = {name: moments[name]() for name in MOMENTS[statistic.name]}
        if statistic.name == "gram":
            count = jnp.full(1, h * w, features.dtype) if masks is None else masks.sum((1, 2))
            found["positions"] = jnp.broadcast_to(count, (n, len(count)))
        return found

    mean = mean_of(features)
    shift = lax.stop_gradient(mean)
    found = {"mean": mean}
    if statistic.name == "wasserstein" and plan is not None:
        found["gram"] = planned_gram(features, plan, shift)
    else:
        each = []
        for k in range(shift.shape[1]):
            centred, mask = features - shift[:, k, None, None], None if masks is None else masks[k : k + 1]
            if statistic.name == "wasserstein":
                each.append(gram(centred, mask))
            else:
                square = jnp.square(centred)
                each.append(
                    square.reshape(n, 1, h * w, c).mean(2) if mask is None else guided_sum(square, mask)
                )
        found["gram" if statistic.name == "wasserstein" else "square"] = jnp.concatenate(each, 1)
    return describe_moments(statistic, found)


def describe_moments(statistic: Statistic, moments: Description) -> Description:
    """The statistic from averages over positions: ``gram`` ``(n, k, c, c)``, ``mean`` and ``square`` ``(n, k, c)``.

    Those of :data:`CENTRED` have the gram and the square about the mean's value.
    """
    if statistic.name not in CENTRED:
        return moments
    mean = moments["mean"]
    rest = mean - lax.stop_gradient(mean)  # 0, with the mean's derivatives
    if statistic.name == "moments":
        variance = jnp.maximum(moments["square"] - jnp.square(rest), 0.0)
        return {"mean": mean, "std": jnp.sqrt(variance + VARIANCE_FLOOR)}
    return {"mean": mean, "covariance": moments["gram"] - rest[..., :, None] * rest[..., None, :]}


def moment_sums(
    statistic: Statistic, features: FeatureMap, weights: Masks, shift: jnp.ndarray | None = None
) -> Description:
    """What :func:`describe_moments` takes, as sums ``(1, k, …)`` over positions with weights that get no gradient.

    :func:`merge_sums` makes those of a whole from those of its parts; divided by the weights' sums they are averages.

    Args:
        statistic: which.
        features: of a part, ``(1, h, w, c)``.
        weights: ``(k, h, w)``.
        shift: for :data:`CENTRED`, what squares are about, ``(1, k, c)``; the part's own mean by default.
    """
    k, c = len(weights), features.shape[-1]
    f = features.reshape(1, -1, c)
    root = jnp.sqrt(weights).reshape(k, -1, 1).astype(f.dtype)
    mean = jnp.matmul(jnp.square(root)[..., 0], f[0], precision=lax.Precision.HIGHEST)[None]
    found: Description = {}
    if statistic.name in CENTRED:
        found = {"mean": mean, "weight": jnp.square(root).sum(1)[None]}
        shift = average(found) if shift is None else shift
        f = f - lax.stop_gradient(shift)[0][:, None]
    moments = {
        "gram": lambda: gram_matrix((root * f)[:, None])[None],
        "mean": lambda: mean,
        "square": lambda: jnp.square(root * f).sum(1)[None],
    }
    return {**found, **{name: moments[name]() for name in MOMENTS[statistic.name]}}


def average(sums: Description) -> jnp.ndarray:
    """The mean of sums that have their weight, ``(1, k, c)``; 0 where nothing has any."""
    weight = sums["weight"]
    return sums["mean"] / jnp.where(weight > 0, weight, 1.0)


def merge_sums(one: Description, other: Description) -> Description:
    """The sums of two parts together; squares about the means of both (Chan, Golub and LeVeque 1979, eq. 2.1)."""
    found = {name: one[name] + other[name] for name in one}
    if "weight" in one:
        total = found["weight"]
        factor = one["weight"] * other["weight"] / jnp.where(total > 0, total, 1.0)
        step = average(other) - average(one)
        if "gram" in one:
            found["gram"] = found["gram"] + factor[..., None] * step[..., :, None] * step[..., None, :]
        else:
            found["square"] = found["square"] + factor * jnp.square(step)
    return found


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
        positions = found["positions"], target["positions"]
        return style_loss(found["gram"], target["gram"], normalization, kind, positions)
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
