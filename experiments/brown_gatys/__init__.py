"""Report 001 (Brown University)."""
