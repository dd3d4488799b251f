"""Broken engines: each is a way to lose or double something, and must be caught."""

from __future__ import annotations


def apply_code(name: str | None) -> None:
    """Break this process as the mutant says."""
