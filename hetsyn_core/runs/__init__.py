"""Training, records of runs, sweeps, and the runs behind each figure."""
