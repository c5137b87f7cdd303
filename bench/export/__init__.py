"""A finished run as files for those who do not use simbench: a model, its vectors, and the proof that they agree."""
