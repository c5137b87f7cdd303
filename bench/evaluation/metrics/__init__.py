"""Numbers from ranks, pairs and decoded images: their definitions, ties, chance levels, conventions."""
