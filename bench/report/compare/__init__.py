"""Runs against runs, and one set of results against another."""
