"""The picture at the top of the README."""
