"""Runs that a step waits for: started when it asks, canceled with it, their end is its answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.db import connection

from apps.executions.actions.finding import found
from apps.executions.actions.orders import order
from apps.executions.actions.parents import Parent
from apps.executions.actions.starting import begin, looked_at
from apps.executions.actions.telling import answer_step, tell
from apps.executions.engine.ports import StepDone, StepFailed
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepAnswer
from apps.executions.errors import RunRefused
from apps.executions.events import StepAsks
from apps.executions.models import ParentKind, Run, RunEvent, TriggerKind
from apps.executions.subworkflows import failure_of, refusal_of
from apps.kit.errors import Refusal
from apps.tenancy import idempotency, scope
from apps.tenancy.actors import Actor
from apps.versions.actions import version_to_run
from apps.versions.actions.deployments import environment_of
from apps.workflows.graph.declaration import Json

DEPTH_LIMIT: Final = 16
"""Runs below each other: what calls itself ends here."""
WAITING: Final = "step.waiting"
_CLOSE: Final = "DELETE FROM open_child WHERE tenant_id = %s AND run_id = %s"


def ask(event: StepAsks) -> None:
    """Start the child that a step waits for; what cannot be started fails the step."""
    asked = event.wait.payload
    parent = Parent(
        run=found(event.run_id), kind=ParentKind.STEP, path=event.path, attempt=event.attempt
    )
    try:
        start_child(
            parent,
            workflow_id=uuid.UUID(asked["workflow"]),
            version=asked.get("version"),
            parameters=asked.get("parameters") or {},
        )
    except Refusal as refusal:
        _answer(event.run_id, event.path, event.attempt, refusal_of(refusal))


def start_child(
    parent: Parent,
    *,
    workflow_id: uuid.UUID,
    version: str | None,
    parameters: Mapping[str, Any],
) -> Run:
    """An ordinary start on behalf of a run, in its environment; once for each attempt of a step.

    Raises what a start raises; nothing is written then.
    """
    above = parent.run
    if above.depth >= DEPTH_LIMIT:
        message = (
            f"{DEPTH_LIMIT} runs are above this one already: does a workflow call itself?"
            " Put a condition before the call."
        )
        raise RunRefused("SUBWORKFLOW_TOO_DEEP", message)
    # The person counts for duties that are to be separate.
    actor = replace(Actor.system(scope.current_tenant_id(), "a run"), user_id=above.started_by_id)
    key = f"{above.pk}/{parent.kind}/{uuid.uuid5(above.pk, parent.path)}/{parent.attempt}"
    with (
        scope.transaction(),
        idempotency.remembered(
            operation="run.child", key=key, request=[workflow_id, version]
        ) as memory,
    ):
        if memory.result_id is not None:
            return found(memory.result_id)
        place = environment_of(above.environment_id)
        chosen = version_to_run(
            actor=actor, workflow_id=workflow_id, environment=place, version=version
        )
        ready = order(
            looked_at(chosen, place), actor=actor, trigger=TriggerKind.EVENT, given=parameters
        )
        return begin(ready, actor=actor, memory=memory, parent=parent)


def answer(run_id: uuid.UUID) -> None:
    """What a child that has ended means for the step that waits for it. Repeatable."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, [scope.current_tenant_id(), run_id])
        if not cursor.rowcount:
            return
    child = Run.objects.filter(pk=run_id).first()
    if child is not None and child.parent_id is not None and child.parent_path is not None:
        _answer(child.parent_id, child.parent_path, child.parent_attempt or 0, _outcome(child))


def look_after(run_id: uuid.UUID) -> None:
    """Answer for a child that has ended; stop one whose step does not wait any more."""
    child: Run | None = Run.objects.filter(pk=run_id).summary().first()
    if child is None or child.finished_at is not None:
        answer(run_id)
        return
    above = Run.objects.filter(pk=child.parent_id).summary().first()
    later = RunEvent.objects.filter(
        run_id=child.parent_id, path=child.parent_path, attempt=child.parent_attempt
    )
    newest = later.order_by("-seq").first()
    is_waited_for = newest is not None and newest.type == WAITING
    if above is None or above.finished_at is not None or not is_waited_for:
        _stop(child)


def cancel(*, run_id: uuid.UUID, path: str | None = None, attempt: int | None = None) -> None:
    """Ask the children of a run, or of one attempt of a step, to stop. Repeatable."""
    below = Run.objects.children(run_id).open().filter(parent_kind=ParentKind.STEP)
    if path is not None:
        below = below.filter(parent_path=path, parent_attempt=attempt)
    for child in below.summary():
        _stop(child)


def _stop(child: Run) -> None:
    if child.status is not RunStatus.CANCELING:
        tell(child, "cancel", {"by": "its parent"}, message_id=uuid.uuid5(child.pk, "cancel"))


def _outcome(child: Run) -> StepDone | StepFailed:
    if child.status not in (RunStatus.SUCCEEDED, RunStatus.PARTIAL):
        return failure_of(child)
    facts: Json = {"id": str(child.pk), "status": child.state, "version": child.version}
    return StepDone(outputs={"result": child.result, "run": facts})


def _answer(run_id: uuid.UUID, path: str, attempt: int, outcome: StepDone | StepFailed) -> None:
    answer_step(run_id=run_id, answer=StepAnswer(path=path, attempt=attempt, outcome=outcome))
