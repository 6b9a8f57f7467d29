"""The Stanford poster: controls, and its future work."""
