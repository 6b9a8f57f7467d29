"""The pictures of the README, made with default settings."""
