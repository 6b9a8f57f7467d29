"""Report 000 (Duke University), the part on Gatys et al."""
