"""Three ways to the same ranking: whole rows of scores in a buffer, windows of a gallery too large to hold, a GPU."""
