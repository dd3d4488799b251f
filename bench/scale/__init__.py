"""What grows and what must not: the queue, the length of a run, the items of a map."""
