"""Scans as the API shows them."""
