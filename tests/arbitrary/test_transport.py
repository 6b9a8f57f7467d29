"""The closed-form maps: moments, optimality, and an independent implementation (SciPy, float64)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

import nstjax
from nstjax.arbitrary.transport import (
    OTHER_RIDGE,
    OWN_RIDGE,
    ActivationMoments,
    AffineMap,
    TransportMethod,
    blend,
    identity_like,
    moments_of,
    move,
    transport,
)
from nstjax.losses.wasserstein import covariance_root, wasserstein2

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.usefixtures("x64")


def activations(seed: int, n: int = 1, c: int = 5) -> jax.Array:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(c, c))
    return jnp.asarray(rng.normal(size=(n, 9, 7, c)) @ mix + rng.normal(size=c))


def ridged(covariance: np.ndarray, other: np.ndarray) -> np.ndarray:
    ridge = OWN_RIDGE * np.trace(covariance) + OTHER_RIDGE * np.trace(other)
    return covariance + ridge / len(covariance) * np.eye(len(covariance))


@pytest.mark.parametrize("method", ["optimal", "whitening", "adain"])
def test_the_mapped_activations_have_the_moments_of_the_style(method: str) -> None:
    x, y = activations(1, n=2), activations(2)
    source, target = moments_of(x), moments_of(y)
    found = moments_of(move(x, transport(source, target, method)))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.mean, jnp.broadcast_to(target.mean, (2, 5)), atol=1e-9)
    # Exactly, the map takes the source's covariance with its ridge to the target's with its own.
    if method == "adain":
        variances = np.diagonal(found.covariance, axis1=1, axis2=2)
        np.testing.assert_allclose(
            variances, np.diagonal(target.covariance, axis1=1, axis2=2).repeat(2, 0), rtol=0.02
        )
    else:
        np.testing.assert_allclose(
            found.covariance,
            jnp.broadcast_to(target.covariance, (2, 5, 5)),
            atol=0.02 * float(jnp.abs(target.covariance).max()),
        )
    for i in range(2):
        a = transport(source, target, method).matrix[i]  # type: ignore[arg-type]
        pair = (np.asarray(source.covariance[i]), np.asarray(target.covariance[0]))
        sigma, wanted = ridged(*pair), ridged(*pair[::-1])
        if method == "adain":
            np.testing.assert_allclose(np.diag(a) ** 2 * np.diag(sigma), np.diag(wanted), rtol=1e-9)
        else:
            np.testing.assert_allclose(a @ sigma @ a.T, wanted, rtol=1e-7)


@pytest.mark.parametrize("method", ["optimal", "whitening", "adain"])
def test_numpy_and_jax_compute_the_same_maps(method: TransportMethod) -> None:
    pair = [moments_of(activations(7, n=2)), moments_of(activations(8))]
    theirs = transport(*pair, method)
    ours = transport(*jax.device_get(pair), method)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert isinstance(one, np.ndarray)
        assert isinstance(other, jax.Array)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_the_maps_against_scipy() -> None:
    source, target = moments_of(activations(3)), moments_of(activations(4))
    pair = tuple(np.asarray(of.covariance[0]) for of in (source, target))
    sigma, wanted = ridged(*pair), ridged(*pair[::-1])
    root, inverse = linalg.sqrtm(sigma), linalg.inv(linalg.sqrtm(sigma))
    optimal = inverse @ linalg.sqrtm(root @ wanted @ root) @ inverse
    np.testing.assert_allclose(transport(source, target).matrix[0], optimal, rtol=1e-7, atol=1e-9)
    whitening = linalg.sqrtm(wanted) @ inverse
    np.testing.assert_allclose(
        transport(source, target, "whitening").matrix[0], whitening, rtol=1e-7, atol=1e-9
    )


def test_the_optimal_map_changes_least_and_by_the_wasserstein_distance() -> None:
    x = activations(5)
    source, target = moments_of(x), moments_of(activations(6))
    moved = {
        m: float(jnp.mean(jnp.sum((move(x, transport(source, target, m)) - x) ** 2, -1)))
        for m in ("optimal", "whitening")
    }  # type: ignore[arg-type]
    assert moved["optimal"] < 0.99 * moved["whitening"]
    distance = wasserstein2(source.mean, source.covariance, target.mean, covariance_root(target.covariance))
    np.testing.assert_allclose(moved["optimal"], distance[0], rtol=0.01)


def test_of_a_style_with_the_same_moments_the_optimal_map_is_the_identity() -> None:
    x = activations(7)
    found = transport(moments_of(x), moments_of(x[:, ::-1]))
    np.testing.assert_allclose(found.matrix[0], np.eye(5), atol=1e-7)
    np.testing.assert_allclose(move(x, found), x, atol=1e-6)


def test_a_mask_measures_its_region_only() -> None:
    x = activations(8)
    mask = np.zeros((1, 9, 7))
    mask[:, :4] = 0.5
    one, other = moments_of(x, jnp.asarray(mask)), moments_of(x[:, :4])
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-12)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-12)


def test_a_flat_image_is_mapped_to_the_style_s_mean_without_infinities() -> None:
    flat = jnp.full((1, 4, 4, 3), 0.25)
    target = moments_of(activations(9, c=3))
    for method in ("optimal", "whitening", "adain"):
        found = move(flat, transport(moments_of(flat), target, method))  # type: ignore[arg-type]
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, jnp.broadcast_to(target.mean, found.shape), atol=1e-6)


def test_blends() -> None:
    x = activations(10)
    maps = [transport(moments_of(x), moments_of(activations(seed))) for seed in (11, 12)]
    half = move(x, blend([*maps, identity_like(maps[0])], [0.5, 0.25, 0.25]))
    np.testing.assert_allclose(half, 0.5 * move(x, maps[0]) + 0.25 * move(x, maps[1]) + 0.25 * x, atol=1e-9)
    with pytest.raises(nstjax.InputError, match="`weights` has 1 values for 2 maps"):
        blend(maps, [1.0])


def test_an_unknown_method_is_refused() -> None:
    one = ActivationMoments(jnp.zeros((1, 2)), jnp.eye(2)[None])
    with pytest.raises(nstjax.InputError, match="`method`"):
        transport(one, one, "monge")  # type: ignore[arg-type]
    assert isinstance(identity_like(transport(one, one)), AffineMap)
