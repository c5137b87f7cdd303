"""Vectors to numbers: exact ranking, metrics, statistics, latency."""
