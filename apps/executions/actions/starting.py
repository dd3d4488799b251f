"""Starting a run: what is checked, what is written, what is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import DatabaseError, connection

from apps.executions import origins, policies
from apps.executions.actions.finding import found
from apps.executions.compiled import compiled_of
from apps.executions.crashpoints import crashpoint
from apps.executions.engine.storable import Unstorable, dumps
from apps.executions.errors import RunRefused, SecretMissing
from apps.executions.events import RunReady
from apps.executions.models import Run, TriggerKind
from apps.kit import events
from apps.kit.errors import QuotaExceeded
from apps.kit.ids import uuid7
from apps.tenancy import audit, idempotency, limits, scope
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric
from apps.tenancy.models import Environment, EnvironmentKind
from apps.tenancy.policies import require
from apps.vault.secrets import missing_secrets, variables_of
from apps.versions.actions import version_to_run
from apps.versions.actions.deployments import environment_of
from apps.versions.models import WorkflowVersion
from apps.workflows.graph.document import Document
from apps.workflows.graph.parameters import resolve

POOL: Final = "io"
PARAMETERS_LIMIT: Final = 64 * 1024
VARIABLES_LIMIT: Final = 64 * 1024
LANE_LIMIT: Final = 2_000
"""Most slots of one tenant at once: a claim counts those in use."""


def start_run(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    parameters: Mapping[str, Any] | None = None,
    environment: EnvironmentKind | uuid.UUID = EnvironmentKind.DEVELOPMENT,
    version: str | None = None,
    trigger: TriggerKind = TriggerKind.API,
    idempotency_key: str | None = None,
) -> Run:
    """Queue a run. Without `version`: development freezes the draft, elsewhere the deployed one.

    The same `idempotency_key` within a day returns the first run. Raises NotFound, NotDeployed,
    GraphInvalid, RunRefused (parameters, or something the engine does not run), SecretMissing,
    QuotaExceeded, IdempotencyMismatch; nothing is written then.
    """
    require(policies.can_run_workflow(actor), "run workflows")
    request = [workflow_id, parameters, environment, version, trigger]
    with (
        scope.transaction(),
        idempotency.remembered(
            operation="run.start", key=idempotency_key, request=request
        ) as memory,
    ):
        if memory.result_id is not None:
            return found(memory.result_id)
        place = environment_of(environment)
        chosen = version_to_run(
            actor=actor, workflow_id=workflow_id, environment=place, version=version
        )
        compiled = compiled_of(chosen)
        document, plan = compiled.document, compiled.plan
        run_id = uuid7()
        installation_id = origins.installation_of(workflow_id)
        facts = {
            "workflow_id": str(workflow_id),
            "version_id": str(chosen.pk),
            "version": chosen.version or "",
            "environment_id": str(place.pk),
            "environment": str(place.kind),
            "installation_id": str(installation_id) if installation_id else None,
            "trigger": str(trigger),
            "started_by_id": str(actor.user_id) if actor.user_id else None,
            "priority": plan.priority,
            "pool": POOL,
            "slots": plan.slots,
            "timeout_seconds": plan.timeout_seconds,
            "parameters": _parameters(document, parameters or {}),
            "variables": _variables(document, place),
        }
        _require_secrets(compiled.secrets, place)
        ceilings = limits.ceilings()
        _require_queue_room(ceilings[Metric.QUEUED_RUNS])
        memory.remember(run_id)
        if actor.user_id is not None:
            _record_start(actor, run_id, chosen, place)
        events.publish(RunReady(tenant_id=scope.current_tenant_id(), run_id=run_id, pool=POOL))
        _start(run_id, facts, {"trigger": str(trigger), "by": actor.name}, ceilings=ceilings)
        return found(run_id)


def _parameters(document: Document, given: Mapping[str, Any]) -> dict[str, Any]:
    values, issues = resolve(document.configuration.parameters, given)
    if issues:
        sentences = " ".join(issue.message for issue in issues[:5])
        raise RunRefused(issues[0].code, sentences, path=tuple(issues[0].path))
    _require_storable(values, limit=PARAMETERS_LIMIT, path=("parameters",))
    return values


def _variables(document: Document, place: Environment) -> dict[str, Any]:
    """A variable of the environment wins over the document's (decision 21).

    An installation overrides parameters, secrets and resources in its own copy of the document.
    """
    values = {**document.configuration.variables, **variables_of(place.pk)}
    _require_storable(values, limit=VARIABLES_LIMIT, path=("variables",))
    return values


def _require_storable(values: Mapping[str, Any], *, limit: int, path: tuple[str, ...]) -> None:
    try:
        dumps(values, limit=limit)
    except Unstorable as error:
        raise RunRefused("INPUT_NOT_STORABLE", str(error), path=path) from error


def _require_secrets(names: Sequence[str], place: Environment) -> None:
    absent = set(missing_secrets(names, place.pk)) if names else set()
    if absent:
        ordered = [name for name in names if name in absent]
        raise SecretMissing(ordered, environment=place.name)


def _require_queue_room(most: int) -> None:
    if most <= 0 or _has_open(most):
        raise QuotaExceeded(metric=Metric.QUEUED_RUNS, limit=most, used=most)


def _has_open(most: int) -> bool:
    """Whether there are that many already: nobody counts further."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM run WHERE tenant_id = %s AND finished_at IS NULL OFFSET %s LIMIT 1",
            [scope.current_tenant_id(), most - 1],
        )
        return bool(cursor.rowcount)


def _record_start(
    actor: Actor, run_id: uuid.UUID, version: WorkflowVersion, place: Environment
) -> None:
    audit.record(
        actor=actor,
        action="run.start",
        target=f"Run:{run_id}",
        after={
            "workflow": str(version.workflow_id),
            "version": version.label,
            "environment": place.name,
        },
    )


def _start(
    run_id: uuid.UUID,
    facts: Mapping[str, Any],
    event: Mapping[str, Any],
    *,
    ceilings: Mapping[Metric, int],
) -> None:
    """T0, last in the transaction: it ends with the row that all starts of the tenant share."""
    steps, runs = (
        max(1, min(ceilings[metric], LANE_LIMIT))
        for metric in (Metric.CONCURRENT_STEPS, Metric.CONCURRENT_RUNS)
    )
    try:
        crashpoint("start.begun")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT executions_start_1(%s, %s, %s::jsonb, %s::jsonb, %s, %s, 1)",
                [
                    scope.current_tenant_id(),
                    run_id,
                    json.dumps(facts),
                    json.dumps(event),
                    steps,
                    runs,
                ],
            )
        crashpoint("start.written")
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != limits.QUOTA_SQLSTATE:
            raise
        raise limits.exceeded(Metric.RUNS_PER_MONTH, str(error.__cause__)) from error
