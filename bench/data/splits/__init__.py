"""Parts of a data set: splits, protocols, subsets, label budgets, and their fingerprint."""
