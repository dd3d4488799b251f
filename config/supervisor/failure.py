"""How the supervisor refuses: one sentence that says what to do."""

from __future__ import annotations


class CannotStart(Exception):
    """Something the product needs is missing or busy; the message is meant for a person."""
