"""Checks of a result: controls that must fall to chance, collapse, structure by class."""
