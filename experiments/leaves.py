"""Trees of arrays in checkpoints that store them by number, whatever the structure of the tree."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def numbered(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves of a tree by number, as NumPy arrays."""
    return {f"{i:04d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def restored(template: Any, leaves: Mapping[str, np.ndarray]) -> Any:
    """Return a tree with the structure of ``template`` and the leaves from :func:`numbered`."""
    ordered = [jnp.asarray(leaves[f"{i:04d}"]) for i in range(len(leaves))]
    return jax.tree.unflatten(jax.tree.structure(template), ordered)
