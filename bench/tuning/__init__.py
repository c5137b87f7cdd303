"""Better options by search on validation, for every method with the same number of trials."""
