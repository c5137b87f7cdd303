"""Finished runs in use: searching and picturing what they learnt."""
