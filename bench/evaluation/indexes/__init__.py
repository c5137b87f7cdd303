"""Approximate search: index recipes and the sweep of their accuracy against speed."""
