"""One program per peer; each runs in an environment of its own, not in ours."""
