"""Image files to pixels: decoding in worker processes, and the cache of what was decoded."""
