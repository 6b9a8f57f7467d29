"""Weights: one reader per foreign format, all to one canonical tree; the registry; the store."""

from nstjax.weights.normalize import normalize
from nstjax.weights.read import read_weights
from nstjax.weights.registry import REGISTRY
from nstjax.weights.store import load_backbone

__all__ = ["REGISTRY", "load_backbone", "normalize", "read_weights"]
