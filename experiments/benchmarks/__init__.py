"""Measurements of time and memory, as ratios in one run."""
