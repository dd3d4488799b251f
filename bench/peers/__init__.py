"""Other engines on the same workloads, on the same PostgreSQL, in the same run."""
