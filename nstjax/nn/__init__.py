"""Networks as pure functions of weights and images."""
