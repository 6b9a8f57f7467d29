"""Flicker of videos that are stylized frame by frame, with and without ``--steady``."""
