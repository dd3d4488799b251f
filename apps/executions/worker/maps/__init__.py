"""Maps on a worker: chunks of items, one item at a time, and the gathering of results."""
