"""Where a workflow came from, asked of the apps above that know: an installation, if it was one."""

from __future__ import annotations

import uuid
from collections.abc import Callable

Find = Callable[[uuid.UUID], uuid.UUID | None]
"""The installation a workflow belongs to, in the tenant in force; None when there is none."""

_finders: list[Find] = []


def register(find: Find) -> None:
    """Called by an app's `reactions.py`."""
    if find not in _finders:
        _finders.append(find)


def installation_of(workflow_id: uuid.UUID) -> uuid.UUID | None:
    """The first answer; None for a workflow somebody drew here."""
    return next((found for find in _finders if (found := find(workflow_id)) is not None), None)
