"""The Brown report."""
