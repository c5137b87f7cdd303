"""Encoders: images to raw vectors. A file with an ``@encoder`` class is one, of the file's name."""
