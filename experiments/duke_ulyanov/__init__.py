"""Report 000 (Duke University), the part on Ulyanov et al."""
