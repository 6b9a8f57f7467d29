"""Networks as tables and pure functions."""
