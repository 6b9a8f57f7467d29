"""Maximum mean discrepancy: its identity with the Gram loss, its estimates, its gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nstjax
from nstjax.losses import gram_matrix, median_bandwidth, mmd2, mmd2_linear_time, style_loss
from nstjax.losses.mmd import KERNELS, kernel_matrix
from tests.helpers.losses import assert_gradient

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(23, 5)), RNG.normal(0.3, 1.2, size=(17, 5))
HOW = {"linear": {}, "polynomial": {"degree": 3, "offset": 0.7}, "gaussian": {"bandwidth": 1.3}}


def direct(x, y, kernel, degree=2, offset=0.0, bandwidth=1.0, unbiased=False, u=None, v=None) -> float:
    """Eq. 2.5 of the thesis, pair by pair."""

    def k(a, b):
        if kernel == "linear":
            return float(a @ b)
        if kernel == "polynomial":
            return float((a @ b + offset) ** degree)
        return float(np.exp(-((a - b) ** 2).sum() / (2 * bandwidth**2)))

    u = np.full(len(x), 1 / len(x)) if u is None else u / u.sum()
    v = np.full(len(y), 1 / len(y)) if v is None else v / v.sum()
    cross = sum(u[i] * v[j] * k(a, b) for i, a in enumerate(x) for j, b in enumerate(y))
    total = -2 * cross
    for points, w in ((x, u), (y, v)):
        n = len(points)
        for i, a in enumerate(points):
            for j, b in enumerate(points):
                if unbiased:
                    total += (i != j) * k(a, b) / (n * (n - 1))
                else:
                    total += w[i] * w[j] * k(a, b)
    return total


@pytest.mark.parametrize("positions", [(6, 6), (4, 9), (12, 5)])
def test_the_gram_loss_is_an_mmd_on_random_features(x64: None, positions: tuple[int, int]) -> None:
    """Thesis, eq. 2.6 to 2.13, and its form for unequal sizes."""
    f, s = (RNG.normal(size=(1, p, 7, 11)) for p in positions)
    m, k = f.shape[1] * 7, s.shape[1] * 7
    points = [jnp.asarray(a.reshape(-1, 11)) for a in (f, s)]
    mmd = float(mmd2(*points, "polynomial", degree=2, offset=0.0))
    by_positions = [gram_matrix(jnp.asarray(a), "positions") for a in (f, s)]
    assert float(style_loss(*by_positions, "sum")) == pytest.approx(mmd, rel=1e-12)
    if m == k:
        raw = [gram_matrix(jnp.asarray(a), "none") for a in (f, s)]
        assert float(style_loss(*raw, "sum")) == pytest.approx(m**2 * mmd, rel=1e-12)


@pytest.mark.shared
def test_the_gram_loss_is_an_mmd_on_real_features(shared, x64: None) -> None:
    """The network runs in single precision, as it always does; the identity is of its features."""
    backbone = nstjax.load_backbone(str(shared / "weights" / "vgg19_blocks1-3_keras_layout.h5"), "vgg19")
    images = [
        nstjax.load_image(shared / "images" / name)
        for name in ("content/golden_gate.jpg", "style/starry_night.jpg")
    ]
    images = [
        np.asarray(nstjax.images.resize(jnp.asarray(i), *size))
        for i, size in zip(images, ((96, 128), (96, 128), (80, 128)), strict=False)
    ]
    for layer in ("relu2_1", "relu3_1"):
        f, s = (
            np.asarray(nstjax.features(backbone, jnp.asarray(i, jnp.float32), (layer,))[layer], np.float64)
            for i in images
        )
        for other in (s, s[:, :-4]):
            grams = [gram_matrix(jnp.asarray(a), "positions") for a in (f, other)]
            points = [jnp.asarray(a.reshape(-1, a.shape[-1])) for a in (f, other)]
            expected = float(mmd2(*points, "polynomial"))
            assert float(style_loss(*grams, "sum")) == pytest.approx(expected, rel=1e-12)
        raw = [gram_matrix(jnp.asarray(a), "none") for a in (f, s)]
        count = f.shape[1] * f.shape[2]
        mmd = float(mmd2(*(jnp.asarray(a.reshape(-1, a.shape[-1])) for a in (f, s)), "polynomial"))
        assert float(style_loss(*raw, "sum")) == pytest.approx(count**2 * mmd, rel=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("estimate", ["biased", "unbiased"])
@pytest.mark.parametrize("block", [1, 4, 1024])
def test_by_blocks_against_pair_by_pair(x64: None, kernel: str, estimate: str, block: int) -> None:
    found = mmd2(jnp.asarray(X), jnp.asarray(Y), kernel, estimate=estimate, block=block, **HOW[kernel])
    expected = direct(X, Y, kernel, unbiased=estimate == "unbiased", **HOW[kernel])
    assert float(found) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_are_shares_of_points(x64: None, kernel: str) -> None:
    u, v = RNG.uniform(size=len(X)), RNG.uniform(size=len(Y))
    how = {"x_weights": jnp.asarray(u), "y_weights": jnp.asarray(v), "block": 8, **HOW[kernel]}
    found = float(mmd2(jnp.asarray(X), jnp.asarray(Y), kernel, **how))
    assert found == pytest.approx(direct(X, Y, kernel, u=u, v=v, **HOW[kernel]), rel=1e-11)
    twice = np.concatenate([X, X[:4]])
    counted = np.ones(len(X))
    counted[:4] = 2
    a = mmd2(jnp.asarray(twice), jnp.asarray(Y), kernel, **HOW[kernel])
    b = mmd2(jnp.asarray(X), jnp.asarray(Y), kernel, x_weights=jnp.asarray(counted), **HOW[kernel])
    assert float(a) == pytest.approx(float(b), rel=1e-11)


@pytest.mark.parametrize("kernel", KERNELS)
def test_biased_is_zero_for_equal_sets_in_any_order_and_positive_otherwise(x64: None, kernel: str) -> None:
    shuffled = jnp.asarray(X[np.random.default_rng(0).permutation(len(X))])
    assert abs(float(mmd2(jnp.asarray(X), shuffled, kernel, **HOW[kernel]))) < 1e-11
    assert float(mmd2(jnp.asarray(X), jnp.asarray(Y), kernel, **HOW[kernel])) > 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("estimate", ["biased", "unbiased"])
def test_gradients(x64: None, kernel: str, estimate: str) -> None:
    fun = partial(mmd2, y=jnp.asarray(Y), kernel=kernel, estimate=estimate, block=7, **HOW[kernel])
    assert_gradient(jax.jit(fun), X)


@pytest.mark.parametrize("kernel", KERNELS)
def test_linear_time_estimate(x64: None, kernel: str) -> None:
    """Unbiased: its mean over keys is the unbiased estimate; its gradient is right for one key."""
    x, y = jnp.asarray(X), jnp.asarray(Y)
    how = HOW[kernel]
    keys = jax.random.split(jax.random.key(0), 4000)
    values = np.asarray(jax.jit(jax.vmap(lambda key: mmd2_linear_time(x, y, key, kernel, **how)))(keys))
    expected = float(mmd2(x, y, kernel, estimate="unbiased", **how))
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(len(values)))
    assert values.std() > 0
    assert_gradient(jax.jit(lambda a: mmd2_linear_time(a, y, keys[0], kernel, **how)), X)


def test_linear_time_touches_each_point_at_most_once(x64: None) -> None:
    def f(x):
        return mmd2_linear_time(x, jnp.asarray(Y), jax.random.key(3), "gaussian", bandwidth=1.0)

    touched = np.abs(np.asarray(jax.grad(f)(jnp.asarray(X)))).sum(1) > 0
    assert touched.sum() == 2 * (min(len(X), len(Y)) // 2)


def test_median_bandwidth(x64: None) -> None:
    points = np.concatenate([X, Y])
    distances = [np.linalg.norm(a - b) for i, a in enumerate(points) for b in points[:i]]
    assert float(median_bandwidth(jnp.asarray(X), jnp.asarray(Y))) == pytest.approx(np.median(distances))
    far = jnp.asarray(X + 1e6)  # a large common mean must not drown the distances
    assert float(median_bandwidth(far)) == pytest.approx(float(median_bandwidth(jnp.asarray(X))), rel=1e-6)
    many = jnp.asarray(RNG.normal(size=(300, 3)))
    assert float(median_bandwidth(many, most=150)) == pytest.approx(
        float(median_bandwidth(many, most=300)), rel=0.1
    )
    mostly = np.concatenate([np.full((60, 5), 300.0), 3000 + 900 * X[:20]])  # white paper, and a drawing
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(mostly) for b in mostly[:i]]
    expected = np.median([d for d in pairs if d > 0])
    for kind in (np.float64, np.float32):
        assert float(median_bandwidth(jnp.asarray(mostly, kind))) == pytest.approx(expected, rel=1e-5)
    for flat in (jnp.ones((6, 3)), jnp.ones((1, 3))):
        assert float(median_bandwidth(flat)) == 1.0


def test_the_median_heuristic_is_the_default_and_passes_no_gradient(x64: None) -> None:
    x, y = jnp.asarray(X), jnp.asarray(Y)
    sigma = float(median_bandwidth(x, y))
    given = partial(mmd2, y=y, kernel="gaussian", bandwidth=sigma)
    by_default = partial(mmd2, y=y, kernel="gaussian")
    assert float(by_default(x)) == pytest.approx(float(given(x)), rel=1e-12)
    np.testing.assert_allclose(jax.grad(by_default)(x), jax.grad(given)(x), rtol=1e-12)


def test_gaussian_is_bounded_and_finite_in_single_precision() -> None:
    """Activations of VGG are in the thousands, and many positions are the same."""
    x = jnp.asarray(RNG.uniform(0, 4000, size=(50, 64)).astype(np.float32)).at[10:20].set(7.0)
    value, gradient = jax.value_and_grad(lambda a: mmd2(a, x[::-1] * 1.1, "gaussian", block=16))(x)
    assert 0 <= float(value) <= 2
    assert np.isfinite(np.asarray(gradient)).all()


def test_kernel_matrices_are_positive_semidefinite(x64: None) -> None:
    for kernel in KERNELS:
        matrix = np.asarray(kernel_matrix(jnp.asarray(X), jnp.asarray(X), kernel, **HOW[kernel]))
        np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12)
        assert np.linalg.eigvalsh(matrix).min() > -1e-9 * np.linalg.eigvalsh(matrix).max()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"kernel": "cosine"}, "cosine"),
        ({"estimate": "fair"}, "fair"),
        ({"degree": 0}, "degree"),
        ({"offset": -1.0}, "offset"),
        ({"kernel": "gaussian", "bandwidth": 0.0}, "bandwidth"),
        ({"estimate": "unbiased", "x_weights": np.ones(23)}, "without weights"),
        ({"y": np.ones((4, 6))}, "shapes"),
        ({"y": np.ones((0, 5))}, "shapes"),
        ({"x": np.ones((1, 5)), "estimate": "unbiased"}, "two or more"),
    ],
)
def test_bad_arguments(how: dict, message: str) -> None:
    arguments = {"x": jnp.asarray(X), "y": jnp.asarray(Y), **how}
    with pytest.raises(nstjax.InputError, match=message):
        mmd2(jnp.asarray(arguments.pop("x")), jnp.asarray(arguments.pop("y")), **arguments)


def test_a_weight_for_each_point() -> None:
    x, y = jnp.zeros((4, 2)), jnp.zeros((3, 2))
    with pytest.raises(nstjax.InputError, match=r"`y_weights` must have the shape \(3,\)"):
        mmd2(x, y, x_weights=jnp.ones(4), y_weights=jnp.ones(4))


def test_linear_time_is_blind_to_a_common_shift() -> None:
    x, y = (jnp.asarray(RNG.normal(m, 1, size=(400, 64)).astype(np.float32)) for m in (0.0, 0.1))
    near, far = (
        float(mmd2_linear_time(x + s, y + s, jax.random.key(0), "gaussian", bandwidth=8.0))
        for s in (0.0, 1e3)
    )
    assert near == pytest.approx(far, abs=2e-3)


def test_linear_time_wants_two_points() -> None:
    with pytest.raises(nstjax.InputError, match="two or more"):
        mmd2_linear_time(jnp.ones((1, 3)), jnp.ones((5, 3)), jax.random.key(0))
