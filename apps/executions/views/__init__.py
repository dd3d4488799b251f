"""Pages of runs: the overview, the lists, starting one, watching one."""
