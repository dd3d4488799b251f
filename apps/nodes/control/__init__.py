"""Where a run goes next: branches, joins and waits."""
