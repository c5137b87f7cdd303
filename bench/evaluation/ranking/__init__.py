"""The exact full ranking: relevance, the counting of ranks, and its backends (dense, streaming, GPU)."""
