"""Judges a workflow document before others may install it: scans, findings, verdicts."""
