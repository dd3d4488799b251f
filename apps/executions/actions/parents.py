"""Who starts a run, where another run does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.executions.models import ParentKind, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """The run above, and the attempt of its step that waits; there is one child for each."""

    run: Run
    kind: ParentKind
    path: str = ""
    attempt: int = 0

    def facts(self) -> dict[str, Any]:
        """What the run's row says of it."""
        return {
            "parent_id": str(self.run.pk),
            "parent_kind": str(self.kind),
            "parent_path": self.path,
            "parent_attempt": self.attempt,
            "depth": self.run.depth + 1,
        }
