"""Experiments: a config, one function a figure, and a README with its results, for each report or paper."""
