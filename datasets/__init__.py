"""The data sets: one file, one data set; the file name is the name on the command line."""
