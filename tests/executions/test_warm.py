"""States that a process keeps: moved on by what others appended, not read from the start again."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest

from apps.executions.actions import answer_step
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StepWaits,
    StopSignal,
)
from apps.executions.engine.wait_events import StepAnswer
from apps.executions.store import statements
from apps.tenancy import scope
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.executions.test_waits import parked
from tests.executions.world import ScriptedRunner, finished, run_of, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def asking(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
    """Every other step waits for an answer."""
    if call.given is None and call.path.startswith("w"):
        return StepWaits(wait=Wait(kind=WaitKind.APPROVAL))
    return call.given if isinstance(call.given, StepDone) else StepDone(outputs={"value": 1})


def answer(tenant: Tenant, run_id: uuid.UUID, path: str) -> None:
    with scope.tenant(tenant.id):
        said = StepAnswer(path=path, attempt=1, outcome=StepDone(outputs={"value": 1}))
        answer_step(run_id=run_id, answer=said)


def test_a_process_catches_up_with_what_another_appended(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    history = statements.history

    def counted(*given: object, after: int = 0) -> object:
        reads.append(after)
        return history(*given, after=after)  # type: ignore[arg-type]

    names = ["w0", "x0", "w1", "x1", "w2", "x2"]
    links = [to(one, two) for one, two in pairwise(names)]
    run_id = start(acme, raw([a(name, "keyed") for name in names], links))
    monkeypatch.setattr(statements, "history", counted)
    with worker(ScriptedRunner(asking)) as first:
        first.ring()
        parked(acme, run_id)
        monkeypatch.setattr(first, "_claim_all", lambda: False)
        head = run_of(acme, run_id).head
        with worker(ScriptedRunner(asking)) as second:
            answer(acme, run_id, "w0")
            second.ring()
            parked(acme, run_id, head=head + 3)
        monkeypatch.undo()
        monkeypatch.setattr(statements, "history", counted)
        answer(acme, run_id, "w1")
        first.ring()
        parked(acme, run_id, head=head + 6)
        answer(acme, run_id, "w2")
        first.ring()
        assert finished(acme, run_id).state == "SUCCEEDED"
    # The second had never seen the run; the first reads once what the second did.
    assert reads == [0, head]
    assert types(acme, run_id)[2:] == [
        event
        for number in range(3)
        for event in (
            f"step.waiting w{number}",
            f"step.completed w{number}",
            f"step.completed x{number}",
        )
    ] + ["run.succeeded"]
