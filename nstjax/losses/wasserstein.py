"""Optimal transport between normal distributions, as a style loss."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

FLOOR = 1e-6  # of an eigenvalue, relative to the target's mean variance squared: the root of 0 has no slope


@jax.jit
def covariance_root(covariance: Float[Array, "n c c"]) -> Float[Array, "n c c"]:
    """The symmetric root of positive semidefinite matrices; eigenvalues under 0 by rounding count as 0."""
    values, vectors = jnp.linalg.eigh(covariance)
    roots = jnp.sqrt(jnp.maximum(values, 0.0))
    return jnp.einsum("nij,nj,nkj->nik", vectors, roots, vectors, precision=lax.Precision.HIGHEST)


def wasserstein2(
    mean: Float[Array, "n c"],
    covariance: Float[Array, "n c c"],
    target_mean: Float[Array, "#n c"],
    target_root: Float[Array, "#n c c"],
) -> Float[Array, " n"]:
    """Squared 2-Wasserstein distance of two normal distributions (Olkin and Pukelsheim 1982; Dowson and Landau 1982).

    ``‖μ − ν‖² + tr(Σ + T − 2 (T^½ Σ T^½)^½)``. As a style loss it is that of style-transfer-pytorch.

    Args:
        mean: ``(n, c)``, μ.
        covariance: ``(n, c, c)``, Σ.
        target_mean: ``(n or 1, c)``, ν.
        target_root: ``(n or 1, c, c)``, T^½ by :func:`covariance_root`.

    Returns:
        ``(n,)``; for equal arguments a little under 0, by about a thousandth of the traces: the floor
        under the eigenvalues.
    """
    high = lax.Precision.HIGHEST
    root = jnp.broadcast_to(target_root, covariance.shape)
    inner = jnp.einsum("nij,njk,nkl->nil", root, covariance, root, precision=high)
    values = jnp.linalg.eigvalsh((inner + jnp.swapaxes(inner, 1, 2)) / 2)
    # A constant, so that the gradient is that of the value.
    floor = FLOOR * jnp.square(jnp.square(root).sum((1, 2), keepdims=True) / root.shape[1])[..., 0]
    floor = jnp.maximum(floor, jnp.finfo(values.dtype).tiny)
    common = jnp.sqrt(jnp.maximum(values, 0.0) + floor).sum(1)
    traces = jnp.trace(covariance, axis1=1, axis2=2) + jnp.square(root).sum((1, 2))
    return jnp.square(mean - target_mean).sum(1) + traces - 2 * common
