"""The teacher's activations, and the leading directions of their uncentered second moments."""

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
    """Compute the teacher's activations with replicate padding, as in a transfer.

    Args:
        teacher: VGG-19.
        images: ``(n, h, w, 3)`` in [0, 1].
        layers: names of the layers.
        pooling: pooling of the network.

    Returns:
        ``{layer: (n, h', w', c)}``.
    """
    return nstjax.features(teacher, images, layers, pooling, padding="replicate")


@partial(jax.jit, static_argnames=("layers", "pooling"))
def _moments(
    teacher: Backbone, images: Images, layers: tuple[str, ...], pooling: Pooling
) -> dict[str, jax.Array]:
    found = activations(teacher, images, layers, pooling)
    return {name: jnp.einsum("nhwc,nhwd->cd", f, f) / f[..., 0].size for name, f in found.items()}


Moments = dict[str, np.ndarray]
"""Uncentered second moments by layer: the mean of ``f fᵀ`` over the activations ``f``, ``(c, c)`` float64."""


def second_moments(
    teacher: Backbone, batches: Iterable[np.ndarray], layers: tuple[str, ...], pooling: Pooling = "max"
) -> Moments:
    """Compute the mean of ``f fᵀ`` over all positions of all images, where ``f`` is the teacher's activation.

    Args:
        teacher: VGG-19.
        batches: images, each batch ``(n, h, w, 3)`` in [0, 1]. All batches have the same shape.
        layers: names of the layers.
        pooling: pooling of the network.

    Returns:
        ``{layer: (c, c)}``.
    """
    sums: Moments = {}
    count = 0
    for batch in batches:
        count += 1
        for name, moment in _moments(teacher, batch, layers, pooling).items():
            sums[name] = sums.get(name, 0.0) + np.asarray(moment, np.float64)
    return {name: sums[name] / count for name in layers}


def mixed(moments: Mapping[Pooling, Moments], shares: Mapping[Pooling, float]) -> Moments:
    """Compute the second moments over batches with different poolings.

    Args:
        moments: second moments with each pooling.
        shares: share of the batches by pooling. The shares sum to 1.
    """
    layers = next(iter(moments.values()))
    return {
        name: np.sum([share * moments[pooling][name] for pooling, share in shares.items()], 0)
        for name in layers
    }


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Directions:
    """The leading directions of each layer's activations.

    Attributes:
        basis: ``{layer: (c, k)}``, the ``k`` directions as orthonormal columns, the leading one first.
        total: ``{layer: ()}``, the mean squared norm of an activation, which is the trace of the second
            moments.
        kept: ``{layer: ()}``, the share of ``total`` in the ``k`` directions, 0 to 1.
    """

    basis: dict[str, jax.Array]
    total: dict[str, jax.Array]
    kept: dict[str, jax.Array]


def find_directions(moments: Moments, heads: dict[str, int]) -> Directions:
    """Compute the leading eigenvectors of each layer's second moments.

    Args:
        moments: from :func:`second_moments` or :func:`mixed`.
        heads: number of directions by layer.
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
    """Compute the targets of a student's heads: the teacher's activations in the directions of each layer.

    They are divided by the square root of the layer's total. Their mean squared norm over all images is
    therefore about the share of the total that the directions keep.

    Args:
        teacher: VGG-19.
        images: ``(n, h, w, 3)`` in [0, 1].
        directions: from :func:`find_directions`.
        layers: names of the layers.
        pooling: pooling of the network.

    Returns:
        ``{layer: (n, h', w', k)}``.
    """
    found = activations(teacher, images, layers, pooling)
    return {n: (f @ directions.basis[n]) * jax.lax.rsqrt(directions.total[n]) for n, f in found.items()}
