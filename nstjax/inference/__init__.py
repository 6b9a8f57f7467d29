"""Inference with trained generators, and their export."""

from nstjax.inference.export import export_generator, load_exported
from nstjax.inference.onnx import export_onnx
from nstjax.inference.photograph import stylize, takes_photographs

__all__ = ["export_generator", "export_onnx", "load_exported", "stylize", "takes_photographs"]
