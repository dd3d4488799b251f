"""Stored objects in the API."""
