"""A small feature network distilled from VGG-19."""
