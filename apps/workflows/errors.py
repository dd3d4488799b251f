"""How workflows refuses; a document that is wrong is refused in `invalid.py`."""

from __future__ import annotations

from apps.kit.errors import Conflict


class WorkflowIsArchived(Conflict):
    """It must be taken out of the archive first."""

    def __init__(self) -> None:
        super().__init__("This workflow is archived. Restore it before you change or run it.")
