"""One self-contained page about all runs: tables, plots, retrieved pictures, checks and where each number came from."""
