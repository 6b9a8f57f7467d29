"""Experiments that reproduce reports and papers.

Each has its settings, one function per figure, and a README with its results.
"""
