"""Textures with default settings."""
