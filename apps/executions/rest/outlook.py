"""A run as REST shows it, read in one statement."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection

from apps.executions.engine.advice import advice, may_pass
from apps.executions.models import Run
from apps.kit.errors import NotFound
from apps.tenancy import scope

_ASK: Final = "SELECT * FROM executions_run_4(%s, %s)"


class _Row(NamedTuple):
    """What `executions_run_4` says."""

    workflow_id: uuid.UUID
    version: str
    environment: str
    state: str
    trigger: str
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    result: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """A run at one instant."""

    id: uuid.UUID
    workflow_id: uuid.UUID
    version: str
    environment: str
    state: str
    trigger: str
    created_at: dt.datetime
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    result: Any = None
    error: Any = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.finished_at is not None

    @property
    def url(self) -> str:
        """Where it is looked at."""
        return f"/api/v1/runs/{self.id}"

    def to_json(self) -> dict[str, Any]:
        """The words are GraphQL's `Execution`."""
        ran = self.started_at and self.finished_at and self.finished_at - self.started_at
        return {
            "id": str(self.id),
            "workflowId": str(self.workflow_id),
            "version": self.version or "draft",
            "environment": self.environment,
            "status": self.state,
            "trigger": self.trigger,
            "createdAt": self.created_at,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "durationMs": round(ran.total_seconds() * 1000) if ran else None,
            "result": self.result,
            "error": None if self.error is None else _error(self.error),
            "url": self.url,
        }


def of(run: Run) -> Outlook:
    """Of a row in hand."""
    return Outlook(
        id=run.pk,
        workflow_id=run.workflow_id,
        version=run.version,
        environment=run.environment,
        state=run.state,
        trigger=run.trigger,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        result=run.result,
        error=run.error,
    )


def look(run_id: uuid.UUID) -> Outlook:
    """The run of this id in the scope. Raises NotFound."""
    if connection.in_atomic_block:
        with scope.transaction():  # The function sets the scope, which would stay.
            row = _asked(run_id)
    else:
        row = _asked(run_id)
    if row is None:
        raise NotFound.of("execution", path=("runId",))
    facts = row._asdict()
    for name in ("result", "error"):
        facts[name] = None if facts[name] is None else json.loads(facts[name])
    return Outlook(id=run_id, **facts)


def _asked(run_id: uuid.UUID) -> _Row | None:
    with connection.cursor() as cursor:
        cursor.execute(_ASK, [scope.current_tenant_id(), run_id])
        row = cursor.fetchone()
    return None if row is None else _Row(*row)


def _error(error: dict[str, Any]) -> dict[str, Any]:
    code = str(error.get("code", ""))
    stated = (error.get("details") or {}).get("recovery")
    may_help = may_pass(code)
    return {
        "code": code,
        "message": error.get("message", ""),
        "nodeId": error.get("nodeId"),
        "retryable": may_help,
        "recovery": stated if isinstance(stated, str) else advice(code, retryable=may_help),
    }
