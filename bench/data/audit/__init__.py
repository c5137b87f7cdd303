"""What is wrong with pictures: duplicates, leaks between parts, damaged files."""
