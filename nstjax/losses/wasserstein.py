"""The Wasserstein distance of normal distributions, used as a style loss."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Added to the eigenvalues, relative to the square of the target's mean variance, because the derivative of
# the square root is infinite at 0.
FLOOR = 1e-6


@jax.jit
def covariance_root(covariance: Float[Array, "n c c"]) -> Float[Array, "n c c"]:
    """Compute the symmetric square root of positive semidefinite matrices.

    Eigenvalues that are negative by rounding count as 0.

    Args:
        covariance: ``(n, c, c)``.

    Returns:
        ``(n, c, c)``.
    """
    values, vectors = jnp.linalg.eigh(covariance)
    roots = jnp.sqrt(jnp.maximum(values, 0.0))
    return jnp.einsum("nij,nj,nkj->nik", vectors, roots, vectors, precision=lax.Precision.HIGHEST)


def wasserstein2(
    mean: Float[Array, "n c"],
    covariance: Float[Array, "n c c"],
    target_mean: Float[Array, "#n c"],
    target_root: Float[Array, "#n c c"],
) -> Float[Array, " n"]:
    """Compute the squared 2-Wasserstein distance of two normal distributions.

    It is ``‖μ − ν‖² + tr(Σ + T − 2 (T^½ Σ T^½)^½)`` (Olkin and Pukelsheim 1982; Dowson and Landau 1982), the
    style loss of style-transfer-pytorch.

    Args:
        mean: μ, ``(n, c)``.
        covariance: Σ, ``(n, c, c)``.
        target_mean: ν, ``(n or 1, c)``.
        target_root: T^½, ``(n or 1, c, c)``, from :func:`covariance_root`.

    Returns:
        ``(n,)``. For equal distributions the value is slightly negative, by about a thousandth of the traces,
        because a floor is added to the eigenvalues.
    """
    high = lax.Precision.HIGHEST
    root = jnp.broadcast_to(target_root, covariance.shape)
    inner = jnp.einsum("nij,njk,nkl->nil", root, covariance, root, precision=high)
    values = jnp.linalg.eigvalsh((inner + jnp.swapaxes(inner, 1, 2)) / 2)
    # Added as a constant, not used as a lower limit, so that the gradient is that of the returned value.
    floor = FLOOR * jnp.square(jnp.square(root).sum((1, 2), keepdims=True) / root.shape[1])[..., 0]
    floor = jnp.maximum(floor, jnp.finfo(values.dtype).tiny)
    common = jnp.sqrt(jnp.maximum(values, 0.0) + floor).sum(1)
    traces = jnp.trace(covariance, axis1=1, axis2=2) + jnp.square(root).sum((1, 2))
    return jnp.square(mean - target_mean).sum(1) + traces - 2 * common
