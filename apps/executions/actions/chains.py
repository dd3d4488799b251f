"""What a run is given that goes on from another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from apps.executions.engine.seeds import StepGiven, given_body
from apps.executions.models import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Outcomes of the `kept` steps of `source`, up to its event `until`, and facts about steps."""

    source: Run | None = None
    until: int = 0
    kept: tuple[str, ...] = ()
    given: tuple[StepGiven, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What the run's row says of it."""
        if self.source is None:
            return {}
        return {
            "lineage_id": str(self.source.lineage_id),
            "retried_from_id": str(self.source.pk),
        }

    def seeds(self) -> list[Any]:
        """Arguments of executions_chain_5."""
        said = [{"path": one.path, "body": given_body(one)} for one in self.given]
        return [self.source and self.source.pk, self.until, list(self.kept), json.dumps(said)]
