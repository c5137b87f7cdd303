"""The tables: frame of runs, leaderboard, footnotes, CSV, JSON, LaTeX."""
