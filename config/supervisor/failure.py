"""How the supervisor refuses: one sentence that says what to do."""

from __future__ import annotations


class CannotStart(Exception):  # noqa: N818 - a refusal, as in apps.kit.errors
    """Something the product needs is missing or busy; the message is meant for a person."""
