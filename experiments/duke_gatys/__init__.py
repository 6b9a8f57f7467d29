"""The part of the Duke report on Gatys et al."""
