"""All data sets together: mean ranks, means above chance, and which rows enter them."""
