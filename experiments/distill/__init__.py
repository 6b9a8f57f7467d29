"""Distillation of the embedded network, a small feature network, from VGG-19."""
