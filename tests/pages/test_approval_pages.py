"""People decide what a run asks, and steer the run, with buttons and forms."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.executions.models import InboxMessage
from apps.tenancy import scope
from apps.versions.models import Approval, ApprovalVote
from tests.factories.tenancy import Tenant
from tests.pages.conftest import Furnished, happened, signed_in

pytestmark = pytest.mark.django_db


def page(furnished: Furnished) -> str:
    return reverse("versions:approval", args=[furnished.slug, furnished.question])


def question(tenant: Tenant, furnished: Furnished) -> Approval:
    with scope.tenant(tenant.id):
        found: Approval = Approval.objects.get(pk=furnished.question)
    return found


def words(tenant: Tenant) -> list[tuple[str, Any]]:
    with scope.tenant(tenant.id):
        return list(InboxMessage.objects.order_by("at").values_list("kind", "body"))


def test_the_form_is_drawn_from_its_schema(owner: Client, furnished: Furnished) -> None:
    listed = owner.get(reverse("versions:approvals", args=[furnished.slug])).content.decode()
    assert "Pay &lt;b&gt;the&lt;/b&gt; invoice?" in listed
    html = owner.get(page(furnished)).content.decode()
    assert 'type="number" name="parameter-amount" min="1" required' in html
    assert "How much" in html
    assert '<select name="parameter-color"' in html
    assert "Look &lt;i&gt;twice&lt;/i&gt;." in html
    assert reverse("executions:run", args=[furnished.slug, furnished.run]) in html


def test_the_run_leads_to_the_question_itself(
    owner: Client, viewer: Any, acme: Tenant, furnished: Furnished
) -> None:
    asked = {"startedAt": 1_790_000_000_000, "kind": "APPROVAL", "name": "Pay?"}
    happened(acme, furnished.run, ("step.waiting", "say", 1, {**asked, "payload": {}}))
    run = reverse("executions:run", args=[furnished.slug, furnished.run])
    assert f'href="{page(furnished)}">Decide</a>' in owner.get(run).content.decode()
    seen = signed_in(viewer.user_id).get(run).content.decode()
    assert "Waits for a decision on “Pay?”" in seen
    assert page(furnished) not in seen

    with scope.tenant(acme.id):
        Approval.objects.filter(pk=furnished.question).update(status="CANCELED")
    assert page(furnished) not in owner.get(run).content.decode()


def test_what_nobody_has_answered_shows_no_answers(owner: Client, furnished: Furnished) -> None:
    html = owner.get(page(furnished)).content.decode()
    assert "<h2>Answers</h2>" not in html
    assert "dict_values" not in html


def test_who_has_voted_reads_how_many_have(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    with scope.tenant(acme.id):
        stages = [{"name": "decision", "required": 2}]
        Approval.objects.filter(pk=furnished.question).update(stages=stages)
    given = {"decision": "approve", "parameter-amount": "3"}
    assert owner.post(page(furnished), given, follow=True).status_code == 200
    html = owner.get(page(furnished)).content.decode()
    assert "1 of 2 have agreed" in html
    assert "You have voted; others have to decide with you." in html


def test_who_is_not_asked_reads_that_too(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    with scope.tenant(acme.id):
        others = {"users": [], "roles": ["operator"]}
        Approval.objects.filter(pk=furnished.question).update(audience=others)
    assert "This question is for others" in owner.get(page(furnished)).content.decode()


def test_an_answer_that_does_not_fit_writes_nothing(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    for amount in ("", "0", "many"):
        answer = owner.post(page(furnished), {"decision": "approve", "parameter-amount": amount})
        assert answer.status_code == 422
    assert owner.post(page(furnished), {"decision": "reject"}).status_code == 422
    assert question(acme, furnished).status == "PENDING"
    with scope.tenant(acme.id):
        assert not ApprovalVote.objects.filter(approval_id=furnished.question).exists()


def test_approve_with_the_form(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    given = {"decision": "approve", "parameter-amount": "3", "parameter-color": '"red"'}
    assert owner.post(page(furnished), given, follow=True).status_code == 200
    found = question(acme, furnished)
    assert (found.status, found.form["values"]) == ("APPROVED", {"amount": 3, "color": "red"})
    # The run hears it.
    ((kind, body),) = words(acme)
    assert (kind, body["path"]) == ("answer", "say")
    assert body["outputs"]["approved"]["values"] == {"amount": 3, "color": "red"}
    assert "Decide" not in owner.get(page(furnished)).content.decode()


def test_reject_needs_a_reason_and_no_form(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    owner.post(page(furnished), {"decision": "reject", "comment": "Too much."})
    assert question(acme, furnished).status == "REJECTED"
    ((_, body),) = words(acme)
    assert "rejected" in body["outputs"]


def test_strangers_see_nothing(stranger: Client, furnished: Furnished) -> None:
    assert stranger.get(page(furnished)).status_code == 404


def test_buttons_of_a_run(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    html = owner.get(reverse("executions:run", args=[furnished.slug, furnished.run]))
    shown = html.content.decode()
    assert "Pause" in shown
    assert "Send a signal" in shown

    def press(button: str, **given: Any) -> None:
        address = reverse(f"executions:{button}", args=[furnished.slug, furnished.run])
        assert owner.post(address, given, follow=True).status_code == 200

    press("pause")
    key = "01890a5d-ac96-774b-bcce-b302099a8057"
    for _ in range(2):
        press("signal", name="paid", payload='{"a": 1}', dedup_key=key)
    press("signal", name="", dedup_key=key)
    press("signal", name="x", payload="{", dedup_key=key)
    press("resume")
    kinds = [kind for kind, _ in words(acme)]
    assert kinds == ["pause", "signal", "resume"]
