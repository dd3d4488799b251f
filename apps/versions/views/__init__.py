"""Pages of versions: commits and differences, and the approvals that wait for people."""
