"""Operating points: thresholds for a chosen false-match rate, and rejection of unknown classes."""
