"""The poster (report 003): control and its future work."""
