"""Images to vectors: batches, inference engines, compiled networks."""
