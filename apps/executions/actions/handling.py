"""Runs that failed: the workflow that is told, of the document or of the organization."""

from __future__ import annotations

import logging
import uuid
from typing import Any, Final

from django.conf import settings
from django.db import connection

from apps.executions import policies
from apps.executions.actions.children import start_child
from apps.executions.actions.parents import Parent
from apps.executions.compiled import compiled_of
from apps.executions.engine.state import RunStatus
from apps.executions.models import ParentKind, Run, RunDefaults
from apps.kit.errors import NotFound, QuotaExceeded, Refusal
from apps.tenancy import audit, scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import Organization
from apps.tenancy.policies import require
from apps.versions.actions.commits import found as version_of
from apps.workflows.actions import found as workflow_of
from apps.workflows.actions import living
from apps.workflows.graph.callees import workflow_id_of
from apps.workflows.graph.document import ErrorHandler
from apps.workflows.models import Workflow

logger = logging.getLogger(__name__)

FAILED: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})
# For a day.
_OWE: Final = """
    INSERT INTO handler_owed AS o (tenant_id, run_id) VALUES (%s, %s)
      ON CONFLICT ON CONSTRAINT handler_owed_pkey DO UPDATE SET run_id = EXCLUDED.run_id
    RETURNING o.since > clock_timestamp() - interval '1 day'
"""
_PAID: Final = "DELETE FROM handler_owed WHERE tenant_id = %s AND run_id = %s"


def set_error_handler(*, actor: Actor, workflow_id: uuid.UUID | None) -> Workflow | None:
    """The workflow that every failed run starts whose document names none; None for no such."""
    require(policies.can_set_error_handler(actor), "say what handles failed runs")
    with scope.transaction():
        workflow = None if workflow_id is None else living(workflow_id)
        before = default_handler()
        if before == workflow_id:
            return workflow
        RunDefaults.objects.update_or_create(
            tenant_id=scope.current_tenant_id(), defaults={"error_handler_id": workflow_id}
        )
        audit.record(
            actor=actor,
            action="error_handler.set",
            target=f"Tenant:{scope.current_tenant_id()}",
            before={"workflow": None if before is None else str(before)},
            after={"workflow": None if workflow_id is None else str(workflow_id)},
        )
        return workflow


def default_handler() -> uuid.UUID | None:
    """The organization's, if it has one."""
    found: uuid.UUID | None = RunDefaults.objects.values_list("error_handler_id", flat=True).first()
    return found


def handle(run_id: uuid.UUID) -> bool:
    """Start the handler of a run that failed, once. What handles a failure is handled by nobody.

    The organization's is for runs that nobody waits for. True: it found no room, and is owed for a
    day; a handler that cannot start is on record.
    """
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return False  # Its retention was over before anybody was told.
    named = _named(run)
    if named is None or workflow_id_of(named) == run.workflow_id or _is_below_handler(run):
        return False
    try:
        workflow_id = workflow_id_of(named)
        if workflow_id is None:
            raise NotFound.of("workflow")
        start_child(
            Parent(run=run, kind=ParentKind.HANDLER),
            workflow_id=workflow_id,
            parameters=_facts(run),
            is_offered=True,
        )
    except Refusal as refusal:
        logger.warning("the error handler of run %s was not started: %s", run_id, refusal)
        if isinstance(refusal, QuotaExceeded) and _is_owed(run_id):
            return True
        audit.record(
            actor=Actor.system(scope.current_tenant_id(), "a run"),
            action="error_handler.refuse",
            target=f"Run:{run_id}",
            after={"workflow": named, "reason": refusal.message[:500]},
        )
    return False


def handle_owed(run_id: uuid.UUID) -> None:
    """Try again what found no room."""
    if not handle(run_id):
        with connection.cursor() as cursor:
            cursor.execute(_PAID, [scope.current_tenant_id(), run_id])


def _is_owed(run_id: uuid.UUID) -> bool:
    """Put it on the list of what is tried again; False when it has stood there long enough."""
    with connection.cursor() as cursor:
        cursor.execute(_OWE, [scope.current_tenant_id(), run_id])
        return bool(cursor.fetchone() == (True,))


def _named(run: Run) -> str | None:
    try:
        own = compiled_of(version_of(run.version_id)).document.configuration.error_handler
    except Refusal:
        own = None  # Of what is gone, or cannot run at all, the organization is told.
    if isinstance(own, ErrorHandler):
        return own.workflow
    default = None if run.parent_id else default_handler()
    return None if default is None else str(default)


def _is_below_handler(run: Run) -> bool:
    """Whether it, or a run above it, handles a failure: it would not end."""
    above = run
    while above.parent_kind != ParentKind.HANDLER:
        key: Any = above.parent_id
        higher = None if key is None else Run.objects.filter(pk=key).summary().first()
        if higher is None:
            return False
        above = higher
    return True


def _facts(run: Run) -> dict[str, Any]:
    """By the names that a handler may declare; `failure` is all of them."""
    error = run.error or {}
    slug = Organization.objects.get(pk=scope.current_tenant_id()).slug
    facts = {
        "runId": str(run.pk),
        "workflowId": str(run.workflow_id),
        "workflowName": workflow_of(run.workflow_id).name,
        "version": run.version or "draft",
        "environment": run.environment,
        "status": run.state,
        "errorCode": error.get("code"),
        "errorMessage": error.get("message"),
        "failedStep": error.get("nodeId"),
        "attempt": error.get("attempt"),
        "url": f"{settings.PUBLIC_URL}/t/{slug}/runs/{run.pk}/",
    }
    return {**facts, "failure": facts}
