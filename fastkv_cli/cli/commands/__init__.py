"""One file a command: options in, a run, nothing else."""
