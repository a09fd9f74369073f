"""Where jobs run: in this process, in one process a GPU, or on Slurm; all run the same function."""
