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
from apps.executions.compiled import compiled_of
from apps.executions.engine.asking import unhelped
from apps.executions.engine.ports import StepDone, StepFailed
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepAnswer, read_wait
from apps.executions.errors import RunRefused
from apps.executions.events import StepAsks
from apps.executions.lineages import state_at
from apps.executions.models import AWAITED, ParentKind, Run, RunEvent, TriggerKind
from apps.executions.subworkflows import failure_of, refusal_of, too_large
from apps.kit.errors import NotFound, Refusal
from apps.tenancy import idempotency, scope
from apps.tenancy.actors import Actor
from apps.versions.actions import version_to_run
from apps.versions.actions.commits import found as version_of
from apps.versions.actions.deployments import environment_of
from apps.workflows.graph.callees import workflow_id_of
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.waits import WaitKind

DEPTH_LIMIT: Final = 16
"""Runs below each other: what calls itself ends here."""
WAITING: Final = "step.waiting"
_GOOD: Final = (RunStatus.SUCCEEDED, RunStatus.PARTIAL)
_CLOSE: Final = "DELETE FROM open_child WHERE tenant_id = %s AND run_id = %s"


def ask(event: StepAsks) -> None:
    """Start the child that a step waits for; what cannot be started fails the step."""
    asked = event.wait.payload
    stands_in = "failure" in asked
    kind = ParentKind.FALLBACK if stands_in else ParentKind.STEP
    parent = Parent(run=found(event.run_id), kind=kind, path=event.path, attempt=event.attempt)
    workflow_id = workflow_id_of(asked["workflow"])
    try:
        if workflow_id is None:
            raise NotFound.of("workflow")
        start_child(
            parent,
            workflow_id=workflow_id,
            version=asked.get("version"),
            parameters=_inputs(parent, asked["failure"])
            if stands_in
            else asked.get("parameters") or {},
            is_offered=stands_in,
        )
    except Refusal as refusal:
        outcome = refusal_of(refusal)
        if stands_in:
            outcome = unhelped(event.wait, message=outcome.message)
        _answer(event.run_id, event.path, event.attempt, outcome)


def start_child(
    parent: Parent,
    *,
    workflow_id: uuid.UUID,
    version: str | None = None,
    parameters: Mapping[str, Any],
    is_offered: bool = False,
) -> Run:
    """An ordinary start on behalf of a run, in its environment; once for each attempt of a step.

    Of parameters that are only offered it gets those that it declares. Raises what a start raises;
    nothing is written then.
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
        seen = looked_at(chosen, place)
        if is_offered:
            declared = {one.name for one in seen.compiled.document.configuration.parameters}
            parameters = {name: value for name, value in parameters.items() if name in declared}
        ready = order(seen, actor=actor, trigger=TriggerKind.EVENT, given=parameters)
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
    newest = _events_of(child).order_by("-seq").first()
    is_waited_for = newest is not None and newest.type == WAITING and _is_of(newest, child)
    if above is None or above.finished_at is not None or not is_waited_for:
        _stop(child)


def cancel(*, run_id: uuid.UUID, path: str | None = None, attempt: int | None = None) -> None:
    """Ask the children of a run, or of one attempt of a step, to stop. Repeatable."""
    below = Run.objects.children(run_id).open().filter(parent_kind__in=(*AWAITED, ParentKind.ITEM))
    if path is not None:
        below = below.filter(parent_path=path, parent_attempt=attempt)
    for child in below.summary():
        _stop(child)


def _is_of(waiting: RunEvent, child: Run) -> bool:
    """Whether the wait is this child's: another may stand in where this one failed."""
    stands_in = "failure" in (waiting.body or {}).get("payload", {})
    return stands_in is (child.parent_kind == ParentKind.FALLBACK)


def _stop(child: Run) -> None:
    if child.status is not RunStatus.CANCELING:
        tell(child, "cancel", {"by": "its parent"}, message_id=uuid.uuid5(child.pk, "cancel"))


def _outcome(child: Run) -> StepDone | StepFailed:
    if child.status in _GOOD and "$omitted" in (child.result or {}):
        return too_large(child)
    if child.parent_kind == ParentKind.FALLBACK:
        return _stood_in(child)
    if child.status not in _GOOD:
        return failure_of(child)
    facts: Json = {"id": str(child.pk), "status": child.state, "version": child.version}
    return StepDone(outputs={"result": child.result, "run": facts})


def _stood_in(child: Run) -> StepDone | StepFailed:
    """What its last nodes give by the ports of the step leaves by them; else the failure stands."""
    asked = _events_of(child).filter(type=WAITING).order_by("-seq")[0]
    wait = read_wait(asked.body or {})
    if child.status not in _GOOD:
        return unhelped(wait, message=failure_of(child).message)
    given: dict[str, Json] = {}
    for outputs in (child.result or {}).values():
        if isinstance(outputs, dict):
            given = {**outputs, **given}
    return StepDone(outputs={name: given[name] for name in wait.payload["ports"] if name in given})


def _inputs(parent: Parent, failure: Mapping[str, Any]) -> dict[str, Any]:
    """What the step was given, by port, and why it failed."""
    run = parent.run
    state = state_at(run, compiled_of(version_of(run.version_id)).plan, seq=run.head)
    return {**state.inputs_of(state.step(parent.path)), "failure": dict(failure)}


def _events_of(child: Run) -> Any:
    """What history says of the attempt that waits for it."""
    return RunEvent.objects.filter(
        run_id=child.parent_id, path=child.parent_path, attempt=child.parent_attempt
    )


def _answer(run_id: uuid.UUID, path: str, attempt: int, outcome: StepDone | StepFailed) -> None:
    told = StepAnswer(path=path, attempt=attempt, outcome=outcome, kind=WaitKind.CHILD)
    answer_step(run_id=run_id, answer=told)
