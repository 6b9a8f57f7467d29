"""Textures at default settings."""
