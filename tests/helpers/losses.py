"""Central differences, and losses of "features" that are the image itself."""

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.losses import Objective, make_targets, objective


def central_difference(fun, x: np.ndarray, direction: np.ndarray, step: float = 1e-6) -> float:
    return float(
        (fun(jnp.asarray(x + step * direction)) - fun(jnp.asarray(x - step * direction))) / (2 * step)
    )


def assert_gradient(fun, x: np.ndarray, rtol: float = 1e-6) -> None:
    """Compare ``jax.grad`` with central differences along random directions."""
    grad = np.asarray(jax.grad(fun)(jnp.asarray(x)))
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=x.shape)
        expected = central_difference(fun, x, direction)
        np.testing.assert_allclose((grad * direction).sum(), expected, rtol=rtol, atol=1e-9)


def loops_gram(f: np.ndarray) -> np.ndarray:
    """Compute Gatys et al. 2016, eq. 3, element by element."""
    _, h, w, c = f.shape
    g = np.zeros((c, c))
    for i in range(c):
        for j in range(c):
            for y in range(h):
                for x in range(w):
                    g[i, j] += f[0, y, x, i] * f[0, y, x, j]
    return g


def identity(_, image, layers):
    return dict.fromkeys(layers, image)


def style_loss_of(x: np.ndarray, s: np.ndarray, **how) -> float:
    """Return the style term of an objective whose features are the image itself."""
    record = Objective((), ("relu1_1",), 0.0, 1.0, 0.0, **how)
    targets = make_targets(record, {}, {"relu1_1": jnp.asarray(s)}, {"relu1_1": x.shape[1:3]})
    return float(objective(record, identity, None, targets)(jnp.asarray(x))[0])
