"""One run from specification to a folder of files."""
