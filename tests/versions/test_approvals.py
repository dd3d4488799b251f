"""Asking and deciding: stages, quorum, two persons, staff, and refusals that write nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.kit.errors import Forbidden, NotFound, Refusal
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Role
from apps.tenancy.models import AuditRow
from apps.tenancy.scope import Scope
from apps.versions import actions, policies
from apps.versions.actions import Stage
from apps.versions.errors import AlreadyDecided, OwnRequest
from apps.versions.events import ApprovalDecided, ApprovalRequested
from apps.versions.models import Approval, ApprovalKind, ApprovalVote
from tests.factories import tenancy as make
from tests.factories.tenancy import Tenant
from tests.factories.workflows import Heard, anybody


@pytest.fixture
def inside(acme: Tenant) -> Iterator[Tenant]:
    """Acme, with its scope and a transaction open."""
    with scope.tenant(acme.id, actor=acme.owner):
        yield acme


def ask(tenant: Tenant, **given: Any) -> Approval:
    return actions.request_approval(
        **{
            "actor": tenant.owner,
            "kind": ApprovalKind.DEPLOY,
            "subject": "V29ya2Zsb3c6MQ==",
            "title": "Deploy 1.0.0",
            **given,
        }
    )


def editors(tenant: Tenant, count: int) -> list[Actor]:
    return [make.member_of(tenant.organization, role=Role.EDITOR) for _ in range(count)]


def vote(actor: Actor, approval: Approval, **given: Any) -> Approval:
    return actions.decide_approval(
        **{"actor": actor, "approval_id": approval.pk, "approve": True, **given}
    )


def test_a_question_is_asked_once(inside: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch, ApprovalRequested)
    first, again = ask(inside), ask(inside)
    assert first == again
    assert [(event.kind, event.subject) for event in heard.events] == [
        ("DEPLOY", "V29ya2Zsb3c6MQ==")
    ]
    assert first.requested_by_id == inside.owner.user_id


def test_one_yes_of_another_person_approves(
    inside: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch, ApprovalDecided)
    (editor,) = editors(inside, 1)
    decided = vote(editor, ask(inside), comment="Fine.", form={"window": "night"})
    assert decided.status == "APPROVED"
    assert decided.form == {"window": "night"}
    assert decided.decided_at is not None
    (event,) = heard.events
    assert (event.approved, event.decided_by, event.comment) == (True, editor.user_id, "Fine.")
    assert AuditRow.objects.filter(action="approval.approve").count() == 1


def test_a_no_decides_at_once_and_says_why(inside: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch, ApprovalDecided)
    first, second = editors(inside, 2)
    asked = ask(inside, stages=(Stage(required=2),))
    vote(first, asked)
    decided = vote(second, asked, approve=False, comment="Too early.")
    assert decided.status == "REJECTED"
    assert [event.approved for event in heard.events] == [False]


def test_stages_follow_each_other_and_each_needs_its_quorum(inside: Tenant) -> None:
    first, second = editors(inside, 2)
    asked = ask(inside, stages=(Stage(name="peers", required=2), Stage(name="lead")))
    assert (vote(first, asked).stage, vote(second, asked).stage) == (0, 1)
    assert vote(first, asked).status == "APPROVED"


def test_nobody_votes_twice_in_a_stage(inside: Tenant) -> None:
    (editor,) = editors(inside, 1)
    asked = ask(inside, stages=(Stage(required=2),))
    vote(editor, asked)
    with pytest.raises(Refusal, match="voted in this stage"):
        vote(editor, asked)
    assert ApprovalVote.objects.count() == 1


def test_nobody_decides_what_they_asked_for(inside: Tenant) -> None:
    asked = ask(inside)
    assert not policies.can_decide_approval(inside.owner, asked)
    with pytest.raises(OwnRequest):
        vote(inside.owner, asked)
    assert ApprovalVote.objects.count() == 0
    relaxed = ask(inside, prevent_self_approval=False, subject="other")
    assert policies.can_decide_approval(inside.owner, relaxed)
    assert vote(inside.owner, relaxed).status == "APPROVED"


def test_what_is_decided_stays_decided(inside: Tenant) -> None:
    first, second = editors(inside, 2)
    asked = ask(inside)
    vote(first, asked)
    with pytest.raises(AlreadyDecided, match="approved already"):
        vote(second, asked, approve=False, comment="No.")
    with pytest.raises(AlreadyDecided):
        actions.cancel_approval(actor=inside.owner, approval_id=asked.pk)
    assert Approval.objects.get(pk=asked.pk).status == "APPROVED"
    assert ask(inside) != asked


def test_a_question_can_be_withdrawn(inside: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(monkeypatch, ApprovalDecided)
    asked = ask(inside)
    for _ in range(2):
        assert (
            actions.cancel_approval(actor=inside.owner, approval_id=asked.pk).status == "CANCELED"
        )
    assert [event.status for event in heard.events] == ["CANCELED"]
    with pytest.raises(NotFound):
        actions.cancel_approval(actor=inside.owner, approval_id=anybody())


@pytest.mark.parametrize(
    "given",
    [
        {"approve": False},
        {"approve": False, "comment": "  "},
        {"comment": "x" * 5_001},
        {"form": {"a": "x" * 40_000}},
    ],
)
def test_a_vote_that_says_nothing_useful_is_refused(inside: Tenant, given: dict[str, Any]) -> None:
    (editor,) = editors(inside, 1)
    with pytest.raises(Refusal) as caught:
        vote(editor, ask(inside), **given)
    assert caught.value.path in {("comment",), ("form",)}
    assert ApprovalVote.objects.count() == 0


@pytest.mark.parametrize("stages", [(), (Stage(required=0),), (Stage(),) * 6])
def test_stages_have_bounds(inside: Tenant, stages: tuple[Stage, ...]) -> None:
    with pytest.raises(Refusal, match="stages"):
        ask(inside, stages=stages)
    assert Approval.objects.count() == 0


def test_who_may_not_decide_does_not(inside: Tenant, viewer: Actor) -> None:
    asked = ask(inside)
    system = Actor.system(inside.id, "engine")
    for actor in (viewer, system):
        with pytest.raises(Forbidden):
            vote(actor, asked)
    assert ApprovalVote.objects.count() == 0


def test_votes_never_change(inside: Tenant) -> None:
    (editor,) = editors(inside, 1)
    vote(editor, ask(inside))
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        ApprovalVote.objects.update(approve=False)


def test_staff_decide_what_is_theirs_in_the_scope_of_whoever_asked(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch, ApprovalDecided)
    with scope.tenant(acme.id, actor=acme.owner):
        theirs = ask(acme, kind=ApprovalKind.PUBLISHER_VERIFICATION, by_platform=True)
        own = ask(acme, subject="own")
        (editor,) = editors(acme, 1)
        with pytest.raises(Forbidden):
            vote(editor, theirs)
    staff = make.staff()
    with scope.enter(Scope.of(staff)), scope.transaction():
        assert list(Approval.objects.for_staff()) == [theirs]
        assert policies.can_decide_approval(staff, theirs)
        assert vote(staff, theirs).status == "APPROVED"
        with pytest.raises(NotFound):
            vote(staff, own)
    assert [event.tenant_id for event in heard.events] == [acme.id]
    with scope.tenant(acme.id):
        cast = ApprovalVote.objects.get()
        assert (cast.tenant_id, cast.voter_id) == (acme.id, staff.user_id)
        assert AuditRow.objects.filter(action="approval.approve").count() == 1


def test_a_foreign_approval_is_told_like_a_random_one(acme: Tenant, globex: Tenant) -> None:
    with scope.tenant(globex.id, actor=globex.owner):
        theirs = ask(globex)
    said = set()
    with scope.tenant(acme.id, actor=acme.owner):
        for key in (theirs.pk, anybody()):
            with pytest.raises(NotFound) as caught:
                actions.decide_approval(actor=acme.owner, approval_id=key, approve=True)
            said.add(caught.value.message)
    assert len(said) == 1
    with scope.tenant(globex.id):
        assert Approval.objects.get().status == "PENDING"
