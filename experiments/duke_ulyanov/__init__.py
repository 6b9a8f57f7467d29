"""The part of the Duke report on Ulyanov et al."""
