"""The Ahmedabad report."""
