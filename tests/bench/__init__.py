"""The arithmetic and plumbing of the benchmarks."""
