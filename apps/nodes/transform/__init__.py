"""Data into other data."""
