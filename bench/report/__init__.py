"""Tables and pictures, made from run folders and nothing else."""
