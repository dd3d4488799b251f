"""A person decides a step that waits for it: every word, on the real database; and the list."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from apps.executions import asks
from apps.executions.actions import cancel_run, resolve_step
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StopSignal,
)
from apps.executions.engine.state import StepStatus
from apps.executions.errors import ExecutionEnded, NothingToResolve
from apps.executions.models import Question, Run
from apps.kit.errors import Forbidden, NotFound, Refusal
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.models import AuditRow
from tests.executions.test_waits import parked
from tests.executions.world import ScriptedRunner, finished, start, types, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ESCALATE = [{"do": "escalate", "with": {"timeoutSeconds": 3600}}]


class Broken:
    """`b` fails at its first attempt, in a way that a person must judge."""

    def __init__(self, tenant: Tenant, *, kind: str = "unsafe", **fields: Any) -> None:
        self.tenant = tenant
        code = "STEP_TIMEOUT" if kind == "unsafe" else "HTTP_503"

        def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
            if call.path == "b" and call.attempt == 1:
                return StepFailed(code=code, message="Who knows?", details={"at": "b"})
            value = call.inputs.get("value", call.path)
            return StepDone(outputs={"value": f"{call.path}:{value}"})

        self.runner = ScriptedRunner(script)
        nodes = [a("a"), a("b", kind, **fields), a("c")]
        self.run_id = start(tenant, raw(nodes, [to("a", "b"), to("b", "c")]))
        with worker(self.runner):
            parked(tenant, self.run_id)

    def ask(self) -> list[Question]:
        """What is on the list once everybody was told."""
        with scope.tenant(self.tenant.id):
            asks.ask_due()
        return self.listed()

    def listed(self) -> list[Question]:
        with scope.tenant(self.tenant.id):
            return list(Question.objects.order_by("id"))

    def say(self, outcome: StepStatus, **given: Any) -> None:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            said = {"actor": self.tenant.owner, "comment": "I looked.", **given}
            resolve_step(run_id=self.run_id, path=said.pop("path", "b"), outcome=outcome, **said)

    def end(self) -> Run:
        with worker(self.runner):
            return finished(self.tenant, self.run_id)


def test_it_happened_and_its_outputs_go_on(acme: Tenant) -> None:
    case = Broken(acme)
    case.say(StepStatus.SUCCEEDED, output={"value": "receipt 7"})
    run = case.end()
    assert (run.state, run.result) == ("SUCCEEDED", {"c": {"value": "c:receipt 7"}})
    assert case.runner.calls.count(("b", 1)) == 1, "nothing was sent again"
    with scope.tenant(acme.id):
        entry = AuditRow.objects.filter(action="run.resolve").get()
    assert entry.target == f"Run:{case.run_id}"
    assert entry.after == {"step": "b", "outcome": "SUCCEEDED", "comment": "I looked."}


def test_it_did_not_happen_and_runs_once_more(acme: Tenant) -> None:
    case = Broken(acme)
    case.say(StepStatus.READY)
    assert case.end().result == {"c": {"value": "c:b:a:a"}}
    assert [one for one in case.runner.calls if one[0] == "b"] == [("b", 1), ("b", 2)]


def test_nothing_leaves_a_step_that_is_left_out(acme: Tenant) -> None:
    case = Broken(acme)
    case.say(StepStatus.SKIPPED)
    run = case.end()
    assert run.state == "SUCCEEDED"
    told = types(acme, case.run_id)
    assert "step.completed b" in told
    assert "step.skipped c" in told


def test_the_failure_stands_and_the_next_rule_decides(acme: Tenant) -> None:
    rules = [*ESCALATE, {"do": "continue"}]
    case = Broken(acme, kind="keyed", onError=rules)
    (question,) = case.ask()
    assert (question.kind, question.code) == ("ESCALATION", "HTTP_503")
    assert question.due_at is not None
    case.say(StepStatus.FAILED)
    assert case.end().state == "PARTIAL"


def test_an_escalated_failure_is_tried_again(acme: Tenant) -> None:
    case = Broken(acme, kind="keyed", onError=ESCALATE)
    case.say(StepStatus.READY)
    assert case.end().state == "SUCCEEDED"


def test_the_list_has_what_waits_and_nothing_else(acme: Tenant, globex: Tenant) -> None:
    case = Broken(acme)
    assert case.listed() == []
    (question,) = case.ask()
    run = case.run_id
    assert (question.run_id, question.path, question.attempt) == (run, "b", 1)
    assert (question.kind, question.code, question.message) == (
        "DOUBT",
        "STEP_TIMEOUT",
        "Who knows?",
    )
    with scope.tenant(globex.id):
        assert not Question.objects.exists()
    case.say(StepStatus.READY)
    assert case.listed() == []
    assert case.ask() == []
    case.end()


def test_an_answer_before_the_question_leaves_no_row(acme: Tenant) -> None:
    case = Broken(acme)
    case.say(StepStatus.READY)
    assert case.ask() == []
    case.end()
    assert case.ask() == []


def test_a_run_that_is_canceled_asks_nobody(acme: Tenant) -> None:
    case = Broken(acme)
    assert len(case.ask()) == 1
    with scope.tenant(acme.id, actor=acme.owner):
        cancel_run(actor=acme.owner, run_id=case.run_id)
    assert case.end().state == "CANCELED"
    assert case.ask() == []
    with pytest.raises(ExecutionEnded):
        case.say(StepStatus.READY)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"outcome": StepStatus.CANCELED}, "outcome"),
        ({"outcome": StepStatus.READY, "comment": " "}, "comment"),
        ({"outcome": StepStatus.READY, "comment": "x" * 1_001}, "comment"),
        ({"outcome": StepStatus.READY, "comment": "a\x00b"}, "comment"),
        ({"outcome": StepStatus.READY, "output": {"value": 1}}, "output"),
        ({"outcome": StepStatus.SUCCEEDED, "output": {"value": "x" * 40_000}}, "output"),
        ({"outcome": StepStatus.SUCCEEDED, "output": {"value": float("nan")}}, "output"),
    ],
)
def test_what_cannot_be_said_writes_nothing(acme: Tenant, given: dict[str, Any], part: str) -> None:
    case = Broken(acme)
    with pytest.raises(Refusal) as refused:
        case.say(**given)
    assert refused.value.path == (part,)
    assert len(case.ask()) == 1
    case.say(StepStatus.SKIPPED)
    case.end()


def test_who_may_speak_and_of_what(acme: Tenant, globex: Tenant) -> None:
    case = Broken(acme)
    reader = replace(acme.owner, permissions=acme.owner.permissions - {Permission.WORKFLOWS_RUN})
    cases: list[tuple[type[Exception], Callable[[], None]]] = [
        (Forbidden, lambda: case.say(StepStatus.READY, actor=reader)),
        (NothingToResolve, lambda: case.say(StepStatus.READY, path="a")),
        (NothingToResolve, lambda: case.say(StepStatus.READY, path="nowhere")),
    ]
    for error, say in cases:
        with pytest.raises(error):
            say()
    with scope.tenant(globex.id, actor=globex.owner), pytest.raises(NotFound):
        resolve_step(
            actor=globex.owner,
            run_id=case.run_id,
            path="b",
            outcome=StepStatus.READY,
            comment="mine?",
        )
    with scope.tenant(acme.id, actor=acme.owner), pytest.raises(NotFound):
        resolve_step(
            actor=acme.owner,
            run_id=uuid.uuid4(),
            path="b",
            outcome=StepStatus.READY,
            comment="which?",
        )
    case.say(StepStatus.SKIPPED)
    case.end()
