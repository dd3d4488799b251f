"""What a run is given that goes on from another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from apps.executions.engine.seeds import StepGiven, given_body
from apps.executions.models import Run

INNER_ABI: Final = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Outcomes of the `kept` steps of `source`, up to its event `until`, and facts about steps.

    `opened`: containers that go on in the middle, and how many of their iterations are taken over.
    """

    source: Run | None = None
    until: int = 0
    kept: tuple[str, ...] = ()
    opened: Mapping[str, int] = field(default_factory=dict)
    given: tuple[StepGiven, ...] = ()
    has_inner: bool = False
    """It speaks of steps inside containers, which releases before `INNER_ABI` cannot read."""

    def facts(self) -> dict[str, Any]:
        """What the run's row says of it."""
        if self.source is None:
            return {}
        return {
            "lineage_id": str(self.source.lineage_id),
            "retried_from_id": str(self.source.pk),
        }

    def seeds(self) -> list[Any]:
        """Arguments of executions_chain_7."""
        said = [{"path": one.path, "body": given_body(one)} for one in self.given]
        return [
            self.source and self.source.pk,
            self.until,
            list(self.kept),
            json.dumps(self.opened),
            json.dumps(said),
            INNER_ABI if self.has_inner else None,
        ]
