"""Weights of generators for tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.generators import GeneratorConfig, init_generator


def shuffled(config: GeneratorConfig, seed: int = 1) -> dict[str, Any]:
    """Return random weights of a generator that hide no error.

    No normalization is the identity, no running statistic is 0 or 1, and no feature map is nearly flat.
    """
    rng = np.random.default_rng(seed)

    def new(x: jax.Array) -> jax.Array:
        factor = rng.uniform(0.5, 1.5, x.shape)
        other = 3 * x * factor if x.ndim == 4 else x * factor + rng.uniform(0, 0.2, x.shape)
        return jnp.asarray(other, x.dtype)

    found = jax.tree.map(new, dict(init_generator(config, jax.random.key(seed))))
    for name in config.plan().named("scale"):  # no normalization undoes the factor 3 of the kernel before it
        found["params"][name]["scale"] /= 3
    return found
