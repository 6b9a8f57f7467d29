"""Network weights: readers of weights files, the registry of published weights, and the store."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstjax.weights.activations import normalize
    from nstjax.weights.read import read_weights
    from nstjax.weights.registry import REGISTRY
    from nstjax.weights.store import load_backbone

__all__ = ["REGISTRY", "load_backbone", "normalize", "read_weights"]

# Imported on first use: the process that reads untrusted weights files (nstjax.weights.apart) starts without JAX.
_LATE = {"REGISTRY": "registry", "load_backbone": "store", "normalize": "activations", "read_weights": "read"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _LATE:
        return getattr(importlib.import_module(f"nstjax.weights.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
