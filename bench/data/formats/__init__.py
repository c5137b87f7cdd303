"""File formats of published data sets: IDX, MATLAB, pickles without code, Parquet, archives."""
