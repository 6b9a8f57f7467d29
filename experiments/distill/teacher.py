"""The teacher's activations and the leading directions of their uncentred second moments."""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import nstjax
from nstjax.typing import Backbone, Features, Images, Pooling


def activations(
    teacher: Backbone, images: Images, layers: tuple[str, ...], pooling: Pooling = "max"
) -> Features:
    """The teacher's activations, padded as in a transfer."""
    return nstjax.features(teacher, images, layers, pooling, padding="replicate")


@partial(jax.jit, static_argnames=("layers", "pooling"))
def _moments(
    teacher: Backbone, images: Images, layers: tuple[str, ...], pooling: Pooling
) -> dict[str, jax.Array]:
    found = activations(teacher, images, layers, pooling)
    return {name: jnp.einsum("nhwc,nhwd->cd", f, f) / f[..., 0].size for name, f in found.items()}


Moments = dict[str, np.ndarray]
"""Mean of ``f fᵀ`` by layer, each ``(c, c)`` in float64."""


def second_moments(
    teacher: Backbone, batches: Iterable[np.ndarray], layers: tuple[str, ...], pooling: Pooling = "max"
) -> Moments:
    """Mean of ``f fᵀ`` over all positions of all images.

    Args:
        teacher: the network.
        batches: each ``(n, h, w, 3)``, all of one shape.
        layers: names of layers.
        pooling: pooling of the network.
    """
    sums: Moments = {}
    count = 0
    for batch in batches:
        count += 1
        for name, moment in _moments(teacher, batch, layers, pooling).items():
            sums[name] = sums.get(name, 0.0) + np.asarray(moment, np.float64)
    return {name: sums[name] / count for name in layers}


def mixed(moments: Mapping[Pooling, Moments], shares: Mapping[Pooling, float]) -> Moments:
    """The second moments over batches of which each pooling has its share."""
    layers = next(iter(moments.values()))
    return {
        name: np.sum([share * moments[pooling][name] for pooling, share in shares.items()], 0)
        for name in layers
    }


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Directions:
    """The projection of each layer.

    Attributes:
        basis: ``{layer: (c, k)}``, orthonormal columns, the leading ones first.
        total: ``{layer: ()}``, the mean squared norm of an activation: the trace of the second moments.
        kept: ``{layer: ()}``, the share of it in the ``k`` directions.
    """

    basis: dict[str, jax.Array]
    total: dict[str, jax.Array]
    kept: dict[str, jax.Array]


def find_directions(moments: Moments, heads: dict[str, int]) -> Directions:
    """The leading eigenvectors of each layer's second moments.

    Args:
        moments: from :func:`second_moments` or :func:`mixed`.
        heads: number of directions to keep, by layer.
    """
    basis, total, kept = {}, {}, {}
    for name, count in heads.items():
        values, vectors = np.linalg.eigh(moments[name])
        basis[name] = jnp.asarray(vectors[:, ::-1][:, :count], jnp.float32)
        total[name] = jnp.asarray(values.sum(), jnp.float32)
        kept[name] = jnp.asarray(values[::-1][:count].sum() / values.sum(), jnp.float32)
    return Directions(basis, total, kept)


def targets(
    teacher: Backbone,
    images: Images,
    directions: Directions,
    layers: tuple[str, ...],
    pooling: Pooling = "max",
) -> Features:
    """The student's targets: projected activations, scaled to a mean squared norm of about 1 over all images."""
    found = activations(teacher, images, layers, pooling)
    return {n: (f @ directions.basis[n]) * jax.lax.rsqrt(directions.total[n]) for n, f in found.items()}
