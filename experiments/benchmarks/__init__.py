"""Benchmarks of time and memory, compared within one run."""
