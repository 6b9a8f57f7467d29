"""Inference with trained generators, and their export."""

from nstjax.inference.export import export_generator, load_exported
from nstjax.inference.photograph import stylize, takes_photographs

__all__ = ["export_generator", "load_exported", "stylize", "takes_photographs"]
