"""Composes the product: imports every room, imported by none."""
