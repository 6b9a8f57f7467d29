"""One pass in the style of any painting: training, pictures and comparison."""
