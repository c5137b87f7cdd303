"""Curves over labels, corruptions, index settings and re-ranking."""
