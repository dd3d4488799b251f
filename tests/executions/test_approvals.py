"""Steps that wait for people, from the question to the output; on the real database."""

from __future__ import annotations

import dataclasses
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.executions import asks
from apps.executions.actions import approving, cancel_run, resolve_step
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepWaits,
    StopSignal,
)
from apps.executions.engine.state import StepStatus
from apps.executions.events import StepAsks, WaitOver
from apps.executions.models import Ask, InboxMessage, Question, RunEvent
from apps.kit import events
from apps.kit.errors import Refusal
from apps.nodes.control.approval import OnTimeout, Parameters, approval
from apps.nodes.testing import FakeContext
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import User
from apps.versions.actions import cancel_approval, decide_approval
from apps.versions.errors import AlreadyDecided, FormInvalid, NotAsked, OwnRequest
from apps.versions.models import Approval, ApprovalVote
from apps.workflows.graph.declaration import Wait
from tests.executions.test_waits import parked
from tests.executions.world import ScriptedRunner, finished, start, types, worker
from tests.factories import tenancy as make
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "minimum": 1}, "note": {"type": "string"}},
    "required": ["amount"],
}


def wait_of(**parameters: Any) -> Wait:
    """What the node type itself says."""
    given = Parameters.read({"title": "Pay the invoice?", **parameters})
    return approval(given, {"value": 7}, FakeContext(work_directory=Path()))


class Asked:
    """A run that waits for an approval, and its workers."""

    def __init__(
        self, tenant: Tenant, wait: Wait, *, on_error: Any = "continue", **facts: Any
    ) -> None:
        self.tenant = tenant

        def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
            if call.path == "a":
                return StepWaits(wait=wait)
            return StepDone(outputs={"value": call.path})

        self.runner = ScriptedRunner(script)
        nodes = [a("a", onError=on_error), a("yes"), a("late")]
        links = [to("a.value", "yes.value"), to("a.timeout", "late.value")]
        self.run_id = start(tenant, raw(nodes, links), **facts)
        with worker(self.runner) as loop:
            loop.ring()
            parked(tenant, self.run_id)
        self.relay()

    def relay(self) -> None:
        with scope.tenant(self.tenant.id):
            asks.ask_due()

    @property
    def question(self) -> Approval:
        with scope.tenant(self.tenant.id):
            found: Approval = Approval.objects.get(form__run=str(self.run_id))
        return found

    def decide(self, actor: Actor, *, approve: bool = True, **given: Any) -> Approval:
        with scope.tenant(self.tenant.id, actor=actor):
            return decide_approval(
                actor=actor, approval_id=self.question.pk, approve=approve, **given
            )

    def end(self) -> dict[str, Any]:
        """The outputs of the step, when the run has ended."""
        with worker(self.runner) as loop:
            loop.ring()
            finished(self.tenant, self.run_id)
        self.relay()
        with scope.tenant(self.tenant.id):
            assert not Ask.objects.exists()
            row = RunEvent.objects.filter(run_id=self.run_id, path="a").order_by("-seq")[0]
        body: dict[str, Any] = row.body or {}
        return body


def test_the_answer_with_its_form_is_what_the_step_comes_to(acme: Tenant) -> None:
    asked = Asked(acme, wait_of(form=FORM, instructions="Look twice."))
    question = asked.question
    assert (question.kind, question.title) == ("RUN_STEP", "Pay the invoice?")
    assert question.form["instructions"] == "Look twice."
    for form in ({}, {"amount": 0}, {"amount": "1"}, {"amount": 1, "other": 2}):
        with pytest.raises(FormInvalid) as caught:
            asked.decide(acme.owner, form=form)
        assert caught.value.parts[0].path in {("form", "amount"), ("form", "other")}
    with scope.tenant(acme.id):
        assert not ApprovalVote.objects.exists()
    asked.decide(acme.owner, form={"amount": 3, "note": "fine"}, comment="Go on.")
    body = asked.end()
    assert body["outputs"]["approved"]["values"] == {"amount": 3, "note": "fine"}
    (decision,) = body["outputs"]["approved"]["decisions"]
    assert (decision["approve"], decision["comment"]) == (True, "Go on.")


def test_so_many_of_the_named_must_agree(acme: Tenant) -> None:
    people = [make.member(acme, role=Role.OPERATOR) for _ in range(3)]
    emails = [str(User.objects.get(pk=str(one.user_id)).email) for one in people[:2]]
    asked = Asked(acme, wait_of(approvers=emails, required=2))
    with pytest.raises(NotAsked):
        asked.decide(people[2])
    with pytest.raises(NotAsked):
        asked.decide(acme.owner)
    assert asked.decide(people[0]).status == "PENDING"
    with pytest.raises(Refusal):
        asked.decide(people[0])
    assert asked.decide(people[1]).status == "APPROVED"
    assert len(asked.end()["outputs"]["approved"]["decisions"]) == 2


def test_roles_may_be_named(acme: Tenant) -> None:
    operator = make.member(acme, role=Role.OPERATOR)
    asked = Asked(acme, wait_of(roles=["owner"]))
    with pytest.raises(NotAsked):
        asked.decide(operator)
    asked.decide(acme.owner, approve=False, comment="No.")
    assert "rejected" in asked.end()["outputs"]


def test_whoever_started_the_run_may_be_kept_out(acme: Tenant) -> None:
    who = str(acme.owner.user_id)
    asked = Asked(acme, wait_of(separate_duties=True), started_by_id=who)
    with pytest.raises(OwnRequest):
        asked.decide(acme.owner)
    asked.decide(make.member(acme, role=Role.EDITOR))
    assert "approved" in asked.end()["outputs"]


def test_approvers_who_are_no_members_fail_the_step(acme: Tenant) -> None:
    asked = Asked(acme, wait_of(approvers=["nobody@example.com"]))
    assert asked.end()["error"]["code"] == "APPROVERS_UNKNOWN"
    with scope.tenant(acme.id):
        assert not Approval.objects.exists()


def test_what_may_not_be_asked_fails_the_step(acme: Tenant) -> None:
    wait = wait_of()
    asked = Asked(acme, dataclasses.replace(wait, payload={**wait.payload, "required": 0}))
    assert asked.end()["error"]["code"] == "INVALID"
    with scope.tenant(acme.id):
        assert not Approval.objects.exists()


def test_steps_with_long_paths_are_asked_each(acme: Tenant) -> None:
    asked = Asked(acme, wait_of())
    paths = {f"{'outer_loop[1]/' * 12}{name}" for name in ("this", "that")}
    with scope.tenant(acme.id):
        for path in sorted(paths):
            approving.ask(
                StepAsks(
                    tenant_id=acme.id, run_id=asked.run_id, path=path, attempt=1, wait=wait_of()
                )
            )
        found = Approval.objects.waiting().values_list("form__path", flat=True)
        assert set(found) == {"a", *paths}


def test_a_question_that_is_withdrawn_fails_the_step(acme: Tenant) -> None:
    asked = Asked(acme, wait_of())
    with scope.tenant(acme.id, actor=acme.owner):
        cancel_approval(actor=acme.owner, approval_id=asked.question.pk)
    assert asked.end()["error"]["code"] == "APPROVAL_WITHDRAWN"


@pytest.mark.parametrize("on_timeout", list(OnTimeout))
def test_the_end_of_its_time_decides(acme: Tenant, on_timeout: OnTimeout) -> None:
    asked = Asked(acme, wait_of(deadline_seconds=2, on_timeout=on_timeout.value))
    assert asked.question.due_at is not None
    body = asked.end()
    match on_timeout:
        case OnTimeout.BRANCH:
            assert body["outputs"] == {"timeout": 7}
            assert "step.completed late" in types(acme, asked.run_id)
        case OnTimeout.FAIL:
            assert body["error"]["code"] == "WAIT_TIMEOUT"
        case OnTimeout.APPROVE:
            assert body["outputs"] == {"approved": {"values": {}, "decisions": []}}
        case OnTimeout.REJECT:
            assert body["outputs"] == {"rejected": {"values": {}, "decisions": []}}
    assert asked.question.status == "CANCELED"
    with pytest.raises(AlreadyDecided):
        asked.decide(acme.owner)


def test_a_failure_that_is_up_to_a_person_withdraws_the_question(acme: Tenant) -> None:
    wait = wait_of(deadline_seconds=2, on_timeout="fail")
    asked = Asked(acme, wait, on_error=[{"do": "escalate"}])
    assert asked.question.status == "PENDING"
    with worker(asked.runner) as loop:
        loop.ring()
        parked(acme, asked.run_id, head=4)
    asked.relay()
    assert asked.question.status == "CANCELED"
    with worker(asked.runner) as loop:
        loop.ring()
        # Its end came as a word to the run, which is not for the wait that there is now.
        until_read(acme, asked.run_id)
    with scope.tenant(acme.id, actor=acme.owner):
        assert Question.objects.get(run_id=asked.run_id).code == "WAIT_TIMEOUT"
        resolve_step(
            actor=acme.owner,
            run_id=asked.run_id,
            path="a",
            outcome=StepStatus.SUCCEEDED,
            output={"value": "by hand"},
            comment="Asked by telephone.",
        )
    assert asked.end()["outputs"] == {"value": "by hand"}


def until_read(tenant: Tenant, run_id: uuid.UUID, *, seconds: float = 20) -> None:
    """Until the run has nothing unread."""
    until = time.monotonic() + seconds
    with scope.tenant(tenant.id):
        while InboxMessage.objects.filter(run_id=run_id).exists():
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.parametrize("waits", [True, False])
def test_the_late_word_of_an_earlier_attempt_withdraws_nothing(
    acme: Tenant, *, waits: bool
) -> None:
    """Neither an approval nor a question to a person that the next attempt has asked."""

    def script(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if waits and call.attempt == 2:
            return StepWaits(wait=wait_of())
        return StepFailed(code="BUSY", message="later", retryable=True)

    retry = {"maxAttempts": 2, "backoffSeconds": 0}
    run_id = start(acme, raw([a("a", retry=retry, onError=[{"do": "escalate"}])]))
    with worker(ScriptedRunner(script)):
        parked(acme, run_id)

    def asked() -> int:
        waiting = Approval.objects.waiting().filter(form__run=str(run_id)).count()
        return int(waiting + Question.objects.filter(run_id=run_id).count())

    with scope.tenant(acme.id):
        asks.ask_due()
        assert asked() == 1
        for attempt, left in ((1, 1), (2, 0)):
            over = WaitOver(tenant_id=acme.id, run_id=run_id, path="a", attempt=attempt)
            events.publish(over)
            assert asked() == left


def test_a_run_that_ends_withdraws_its_question(acme: Tenant) -> None:
    asked = Asked(acme, wait_of())
    with scope.tenant(acme.id):
        cancel_run(actor=acme.owner, run_id=asked.run_id)
    asked.end()
    assert asked.question.status == "CANCELED"


def test_a_decision_and_the_end_of_its_time_race_to_one_outcome(acme: Tenant) -> None:
    """Either the people or the time decide, never both, and the run always ends."""
    asked = Asked(acme, wait_of(deadline_seconds=1.3, on_timeout="reject"))
    voters = [make.member(acme, role=Role.EDITOR) for _ in range(4)]

    def vote(actor: Actor) -> bool:
        try:
            time.sleep(0.3)
            asked.decide(actor)
        except AlreadyDecided:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        votes = pool.map(vote, voters)
        outputs = asked.end()["outputs"]
        decided = sum(votes)
    assert decided <= 1
    if "approved" in outputs and outputs["approved"]["decisions"]:
        assert decided == 1
    else:
        assert outputs == {"rejected": {"values": {}, "decisions": []}}


def test_a_second_click_counts_once(acme: Tenant) -> None:
    asked = Asked(acme, wait_of())
    voter = make.member(acme, role=Role.EDITOR)

    def click(_: int) -> bool:
        try:
            asked.decide(voter)
        except Refusal:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(click, range(8))) == 1
    assert len(asked.end()["outputs"]["approved"]["decisions"]) == 1


def test_foreign_questions_do_not_exist(acme: Tenant, globex: Tenant) -> None:
    asked = Asked(acme, wait_of())
    with scope.tenant(globex.id, actor=globex.owner), pytest.raises(Refusal) as caught:
        decide_approval(actor=globex.owner, approval_id=asked.question.pk, approve=True)
    with scope.tenant(globex.id, actor=globex.owner), pytest.raises(Refusal) as other:
        decide_approval(actor=globex.owner, approval_id=uuid.uuid4(), approve=True)
    assert caught.value.message == other.value.message
