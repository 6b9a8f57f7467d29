"""Report 002 (Ahmedabad University)."""
