"""What executions does when it has spoken itself, and when people have decided."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from apps.artifacts.roots import register_root
from apps.billing.actions import RunUsage, record_usage
from apps.executions import (
    jobs,  # noqa: F401 - declares the periodic jobs
    tasks,
)
from apps.executions.actions import approving, asking, children, handling
from apps.executions.engine.asking import HUMAN_KINDS
from apps.executions.events import (
    ChildOpen,
    HandlerOwed,
    RunComing,
    RunFinished,
    RunReady,
    RunsFinished,
    StepAsks,
    WaitOver,
)
from apps.executions.models import AWAITED, ParentKind
from apps.executions.references import artifacts_in_history
from apps.kit.events import on
from apps.versions.events import ApprovalDecided
from apps.versions.models import ApprovalKind
from apps.workflows.graph.waits import WaitKind

register_root("history", artifacts_in_history)


@on(RunComing)
def forewarn_worker(event: RunComing) -> None:
    """Nothing is written here, and nobody is waited for."""
    tasks.expect(event.run_id, event.pool)


@on(RunReady)
def wake_worker(event: RunReady) -> None:
    """Ring after the commit; a bell that is out of order delays the run by a second."""
    transaction.on_commit(partial(tasks.ring_for, event.run_id, event.pool), robust=True)


@on(RunsFinished)
def hand_over_usage(event: RunsFinished) -> None:
    """Into the ledger, in the transaction of the announcement."""
    record_usage(
        *(
            RunUsage(
                run_id=run.run_id,
                workflow_id=run.workflow_id,
                environment_id=run.environment_id,
                installation_id=run.installation_id,
                state=run.state,
                finished_at=run.finished_at,
                steps=run.steps,
                cpu_seconds=run.cpu_seconds,
                wall_ms=run.wall_ms,
                bytes_in=run.bytes_in,
                bytes_out=run.bytes_out,
                cost_minor=run.cost_minor,
            )
            for run in event.runs
        )
    )


@on(RunFinished)
def answer_parent(event: RunFinished) -> None:
    """A step of another run waited for this."""
    if event.parent_kind in AWAITED:
        children.answer(event.run_id)


@on(RunFinished)
def handle_failure(event: RunFinished) -> None:
    """A run has failed: start what handles it."""
    if event.state in handling.FAILED and event.parent_kind not in (
        ParentKind.HANDLER,
        ParentKind.ITEM,
    ):
        handling.handle(event.run_id)


@on(HandlerOwed)
def handle_owed_failure(event: HandlerOwed) -> None:
    """There may be room by now for what handles it."""
    handling.handle_owed(event.run_id)


@on(ChildOpen)
def look_after(event: ChildOpen) -> None:
    """Pass on what was not: its end to the one above, or the other way round."""
    children.look_after(event.run_id)


@on(StepAsks)
def start_child(event: StepAsks) -> None:
    """A step waits for another run: start it."""
    if event.wait.kind is WaitKind.CHILD:
        children.ask(event)


@on(WaitOver)
def stop_children(event: WaitOver) -> None:
    """The step's time is over, or the run's: so is that of what it started."""
    children.cancel(run_id=event.run_id, path=event.path, attempt=event.attempt)


@on(StepAsks)
def ask_people(event: StepAsks) -> None:
    """A step waits for an approval: request it; for a person's word: put it on the list."""
    if event.wait.kind is WaitKind.APPROVAL:
        approving.ask(event)
    elif event.wait.kind in HUMAN_KINDS:
        # It may have waited for an approval, whose time was over.
        approving.withdraw(run_id=event.run_id, path=event.path)
        asking.list_question(event)


@on(WaitOver)
def ask_no_more(event: WaitOver) -> None:
    """The attempt's time is over, or the run's: withdraw what nobody has decided.

    It may be told late: what a later attempt asks stands.
    """
    approving.withdraw(run_id=event.run_id, path=event.path, attempt=event.attempt)
    asking.close_questions(run_id=event.run_id, path=event.path, attempt=event.attempt)


@on(ApprovalDecided)
def let_the_step_go_on(event: ApprovalDecided) -> None:
    """What people have decided is what the step comes to."""
    if event.kind == ApprovalKind.RUN_STEP:
        approving.answer(event.approval_id)
