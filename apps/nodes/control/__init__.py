"""Where a run goes next: branches and joins."""
