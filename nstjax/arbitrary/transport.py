"""Closed-form maps that give activations the mean and the covariance of a style.

Activations of the content, with mean μ and covariance Σ, are mapped by ``y = A (x − μ) + ν``, so that their mean
becomes ν and their covariance ``A Σ A'`` becomes T:

=============  =======================================================================================
``optimal``    ``A = Σ^−½ (Σ^½ T Σ^½)^½ Σ^−½``, the optimal transport of normal distributions: the map that changes
               the activations least (Lu et al., ICCV 2019, "A closed-form solution to universal style transfer")
``whitening``  ``A = T^½ Σ^−½``, whitening and coloring (Li et al., NeurIPS 2017, arXiv 1705.08086)
``adain``      ``A`` diagonal, the ratio of standard deviations: means and variances only (Huang and Belongie 2017,
               arXiv 1703.06868)
=============  =======================================================================================

The squared Wasserstein distance of the two distributions (:func:`nstjax.losses.wasserstein.wasserstein2`) is the mean
of ``‖y − x‖²`` for ``optimal``.

The maps of NumPy arrays are computed by NumPy, without compilation, and are NumPy arrays; those of JAX arrays are JAX
arrays.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nstjax.errors import InputError, one_of
from nstjax.typing import FeatureMap

TransportMethod = Literal["optimal", "whitening", "adain"]
OWN_RIDGE = 1e-3  # added to both covariances, relative to the mean variance; it limits the gain in directions without variance
OTHER_RIDGE = 1e-4  # the same, relative to the mean variance of the other one; for images that are flat
_HIGH = lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ActivationMoments:
    """Mean and covariance of activations; JAX or NumPy arrays.

    Attributes:
        mean: ``(n, c)``.
        covariance: ``(n, c, c)``.
    """

    mean: Array
    covariance: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AffineMap:
    """The map ``y = matrix x + offset``, one for each image; JAX or NumPy arrays.

    Attributes:
        matrix: ``(n, c, c)``.
        offset: ``(n, c)``.
    """

    matrix: Array
    offset: Array


def moments_of(features: FeatureMap, mask: Array | None = None) -> ActivationMoments:
    """Compute mean and covariance over the positions of each image.

    Args:
        features: ``(n, h, w, c)``.
        mask: weights of the positions, ``(n, h, w)`` or ``(1, h, w)``, with a positive sum; None for equal weights.
    """
    n, h, w, c = features.shape
    x = features.reshape(n, h * w, c)
    if mask is None:
        share = jnp.full((1, h * w), 1 / (h * w), x.dtype)
    else:
        flat = mask.reshape(mask.shape[0], h * w).astype(x.dtype)
        share = flat / flat.sum(1, keepdims=True)
    mean = jnp.einsum("nm,nmc->nc", jnp.broadcast_to(share, (n, h * w)), x, precision=_HIGH)
    centered = (x - mean[:, None]) * jnp.sqrt(share)[..., None]
    return ActivationMoments(mean, jnp.einsum("nmc,nmd->ncd", centered, centered, precision=_HIGH))


def array_library(*arrays: Any) -> Any:
    """Return ``jax.numpy`` if one of the arrays is of JAX, else ``numpy``."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


def _product(*factors: Any) -> Any:
    """Return the matrix product of batches of matrices."""
    first, *rest = factors
    for other in rest:
        first = (
            jnp.matmul(first, other, precision=_HIGH)
            if array_library(first, other) is jnp
            else np.matmul(first, other)
        )
    return first


def _transposed(matrices: Any) -> Any:
    return matrices.swapaxes(-1, -2)


def _with_ridge(covariance: Any, other: Any) -> Any:
    xp, channels = array_library(covariance, other), covariance.shape[-1]
    own, theirs = (xp.trace(one, axis1=1, axis2=2) / channels for one in (covariance, other))
    ridge = OWN_RIDGE * own + OTHER_RIDGE * theirs + xp.finfo(covariance.dtype).tiny ** 0.5
    return covariance + ridge[:, None, None] * xp.eye(channels, dtype=covariance.dtype)


def _each(function: Callable[[Any], Any], matrices: Any) -> Any:
    """Apply a function of ``(n, c, c)`` to matrices; to those of JAX, one after another.

    On a CPU, XLA divides the decompositions of a batch among its threads and waits for them in a thread. Beside
    convolutions in one program, all threads can then wait for ever.
    """
    if matrices.shape[0] == 1 or isinstance(matrices, np.ndarray):
        return function(matrices)
    return lax.map(lambda one: function(one[None])[0], matrices)


def _root(covariance: Any) -> Any:
    """Return the symmetric square roots of positive semidefinite matrices."""
    xp = array_library(covariance)
    values, vectors = xp.linalg.eigh(covariance)
    return _product(vectors * xp.sqrt(xp.maximum(values, 0))[:, None], _transposed(vectors))


def _inverse_root(covariance: Any) -> Any:
    xp = array_library(covariance)
    values, vectors = xp.linalg.eigh(covariance)
    floor = values[:, -1:] * xp.finfo(values.dtype).eps
    return _product(vectors / xp.sqrt(xp.maximum(values, floor))[:, None], _transposed(vectors))


def transport(
    source: ActivationMoments, target: ActivationMoments, method: TransportMethod = "optimal"
) -> AffineMap:
    """Return the map that gives activations with the moments ``source`` the moments ``target``.

    Args:
        source: of the content, with ``n`` images.
        target: of the style, with ``n`` images or one.
        method: a name of the module's table.

    Returns:
        One map for each image. To both covariances a ridge is added, :data:`OWN_RIDGE` times the mean variance and
        :data:`OTHER_RIDGE` times that of the other, so that the result's covariance is that of the target up to the ridge.

    Raises:
        InputError: If the method is unknown.
    """
    one_of("method", method, get_args(TransportMethod))
    xp = array_library(source.covariance, target.covariance)
    sigma = _with_ridge(source.covariance, target.covariance)
    wanted = _with_ridge(target.covariance, source.covariance)
    if method == "adain":
        before, after = (xp.sqrt(xp.diagonal(covariance, axis1=1, axis2=2)) for covariance in (sigma, wanted))
        matrix = (after / before)[:, None] * xp.eye(before.shape[-1], dtype=before.dtype)
    else:
        inverse = _each(_inverse_root, sigma)
        if method == "whitening":
            matrix = _product(_each(_root, wanted), inverse)
        else:
            root = _product(sigma, inverse)
            inner = _product(root, wanted, root)
            middle = _each(_root, (inner + _transposed(inner)) / 2)
            matrix = _product(inverse, middle, inverse)
    offset = target.mean - _product(matrix, source.mean[..., None])[..., 0]
    return AffineMap(matrix, offset)


def identity_like(one: AffineMap) -> AffineMap:
    """Return the identity with the shapes of a map."""
    xp = array_library(one.matrix)
    eye = xp.eye(one.matrix.shape[-1], dtype=one.matrix.dtype)
    return AffineMap(xp.broadcast_to(eye, one.matrix.shape), xp.zeros_like(one.offset))


def blend(maps: Sequence[AffineMap], weights: Sequence[float | Array]) -> AffineMap:
    """Return the weighted mean of maps.

    For optimal maps of one source it is the map to a distribution between the targets, on a generalized geodesic
    (Ambrosio, Gigli and Savaré 2008, section 9.2). A blend with the identity is a style of less strength.

    Args:
        maps: the maps.
        weights: their weights; the sum should be 1.
    """
    if len(maps) != len(weights) or not maps:
        raise InputError(f"`weights` has {len(weights)} values for {len(maps)} maps: give one for each")
    return jax.tree.map(lambda *leaves: sum(w * leaf for w, leaf in zip(weights, leaves, strict=True)), *maps)


def move(features: FeatureMap, by: AffineMap) -> FeatureMap:
    """Apply a map to the activations of each image, ``(n, h, w, c)``."""
    matrix, offset = by.matrix.astype(features.dtype), by.offset.astype(features.dtype)
    return jnp.einsum("nhwc,ndc->nhwd", features, matrix) + offset[:, None, None]
