"""The contestants: one file, one method; the file name is the name on the command line."""
