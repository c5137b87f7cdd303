"""Intervals and paired tests over queries, classes and seeds."""
