"""The figures, as matplotlib draws them."""
