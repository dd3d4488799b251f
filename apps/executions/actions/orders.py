"""What a run is started with: the facts of its row, its first event, and the writing of both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, connection

from apps.executions import bounds
from apps.executions.crashpoints import crashpoint
from apps.executions.engine.storable import Unstorable, dumps
from apps.executions.errors import RunRefused
from apps.executions.models import TriggerKind
from apps.executions.standing import Standing
from apps.tenancy import limits
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric
from apps.workflows.graph.document import Document
from apps.workflows.graph.parameters import resolve

POOL: Final = "io"
PARAMETERS_LIMIT: Final = 64 * 1024
VARIABLES_LIMIT: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Ready to be written."""

    standing: Standing
    facts: Mapping[str, Any]
    event: Mapping[str, Any]


def order(
    standing: Standing, *, actor: Actor, trigger: TriggerKind, given: Mapping[str, Any]
) -> Order:
    """Raises RunRefused for parameters or variables that the document does not take."""
    document, plan = standing.compiled.document, standing.compiled.plan
    installation_id = standing.installation_id
    facts = {
        "workflow_id": str(standing.workflow_id),
        "version_id": str(standing.version_id),
        "version": standing.version,
        "environment_id": str(standing.place.id),
        "environment": str(standing.place.kind),
        "installation_id": str(installation_id) if installation_id else None,
        "trigger": str(trigger),
        "started_by_id": str(actor.user_id) if actor.user_id else None,
        "priority": plan.priority,
        "pool": POOL,
        "slots": plan.slots,
        "timeout_seconds": plan.timeout_seconds,
        "due_seconds": bounds.due_seconds(document, standing.workflow_id),
        "bounds": bounds.of(document),
        "parameters": _parameters(document, given),
        "variables": _variables(document, standing.variables),
    }
    return Order(standing=standing, facts=facts, event={"trigger": str(trigger), "by": actor.name})


def record_of(run_id: uuid.UUID, standing: Standing) -> dict[str, Any]:
    """What the audit trail says of a start."""
    return {
        "action": "run.start",
        "target": f"Run:{run_id}",
        "after": {
            "workflow": str(standing.workflow_id),
            "version": standing.label,
            "environment": standing.place.name,
        },
    }


def _parameters(document: Document, given: Mapping[str, Any]) -> dict[str, Any]:
    values, issues = resolve(document.configuration.parameters, given)
    if issues:
        sentences = " ".join(issue.message for issue in issues[:5])
        raise RunRefused(issues[0].code, sentences, path=tuple(issues[0].path))
    _require_storable(values, limit=PARAMETERS_LIMIT, path=("parameters",))
    return values


def _variables(document: Document, placed: Mapping[str, Any]) -> dict[str, Any]:
    """A variable of the environment wins over the document's (decision 21).

    An installation overrides parameters, secrets and resources in its own copy of the document.
    """
    values = {**document.configuration.variables, **placed}
    _require_storable(values, limit=VARIABLES_LIMIT, path=("variables",))
    return values


def _require_storable(values: Mapping[str, Any], *, limit: int, path: tuple[str, ...]) -> None:
    if not values:
        return
    try:
        dumps(values, limit=limit)
    except Unstorable as error:
        raise RunRefused("INPUT_NOT_STORABLE", str(error), path=path) from error


def write(statement: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """T0, and the row it returns. It ends with the row that all starts of the tenant share."""
    with written(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


@contextmanager
def written() -> Iterator[None]:
    """Around the statement that starts a run. Raises QuotaExceeded in its words."""
    try:
        crashpoint("start.begun")
        yield
        crashpoint("start.written")
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != limits.QUOTA_SQLSTATE:
            raise
        raise limits.exceeded(Metric.RUNS_PER_MONTH, str(error.__cause__)) from error
