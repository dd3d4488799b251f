"""People decide what no engine can: the list, the menu's counts, the form."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.executions.engine.wait_events import StepWaiting, waiting_json
from apps.executions.models import InboxMessage, Question
from apps.kit.clock import now
from apps.tenancy import scope
from apps.workflows.graph.waits import Wait, WaitKind
from tests.factories.tenancy import Tenant
from tests.pages.conftest import Furnished, happened, signed_in

pytestmark = pytest.mark.django_db

FAILURE: dict[str, Any] = {
    "code": "STEP_TIMEOUT",
    "message": "No answer from <b>the bank</b>.",
    "nodeId": "say",
    "attempt": 2,
    "details": {"sent": "yes"},
}


def asks(tenant: Tenant, furnished: Furnished, kind: WaitKind = WaitKind.DOUBT) -> str:
    """A step of the run waits for a person; the address of its form."""
    until = now() + dt.timedelta(hours=1) if kind is WaitKind.ESCALATION else None
    wait = Wait(kind=kind, until=until, payload={"failure": FAILURE, "retryable": True})
    event = StepWaiting(path="say", attempt=2, started_at=now(), wait=wait)
    happened(
        tenant,
        furnished.run,
        ("run.started", None, None, {}),
        ("step.waiting", "say", 2, waiting_json(event)),
    )
    with scope.tenant(tenant.id):
        Question.objects.create(
            run_id=furnished.run,
            workflow_id=furnished.workflow,
            path="say",
            attempt=2,
            kind=kind.value,
            code=FAILURE["code"],
            message=FAILURE["message"],
            due_at=until,
        )
    return reverse("executions:decide", args=[furnished.slug, furnished.run]) + "?step=say"


def heard(tenant: Tenant) -> list[Any]:
    with scope.tenant(tenant.id):
        return list(InboxMessage.objects.filter(kind="answer").values_list("body", flat=True))


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def test_the_way_from_the_menu_to_the_answer(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    overview = reverse("executions:overview", args=[furnished.slug])
    listing = reverse("executions:questions", args=[furnished.slug])
    counted = f'{listing}">'
    assert "Needs a person<span" not in text(owner, overview).replace("\n", "")
    assert "Nothing waits for you" in text(owner, listing)

    form = asks(acme, furnished)
    shown = text(owner, overview)
    assert counted in shown
    assert 'Needs a person<span class="count">1</span>' in shown
    assert 'Approvals<span class="count">1</span>' in shown
    listed = text(owner, listing)
    assert form in listed
    assert "No answer from &lt;b&gt;the bank&lt;/b&gt;." in listed
    page = text(owner, reverse("executions:run", args=[furnished.slug, furnished.run]))
    assert "Nobody knows whether this happened" in page
    assert form in page

    asked = text(owner, form)
    assert "Did “Say hello” happen?" in asked
    assert "It did not happen: run the step again" in asked
    assert "Look at the other system" in asked or "Raise the step" in asked
    said = {"step": "say", "outcome": "SUCCEEDED", "output": '{"text": "Hi"}', "comment": "seen"}
    answer = owner.post(form, said, follow=True)
    assert "Decided: say goes on." in answer.content.decode()
    ((body),) = heard(acme)
    assert (body["path"], body["attempt"], body["outputs"]) == ("say", 2, {"text": "Hi"})
    assert "Nothing waits for you" in text(owner, listing)


def test_an_escalated_failure_is_asked_in_its_own_words(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    form = asks(acme, furnished, WaitKind.ESCALATION)
    asked = text(owner, form)
    assert "How does “Say hello” go on?" in asked
    assert "then its next rule decides" in asked
    owner.post(form, {"step": "say", "outcome": "READY", "comment": "the bank is back"})
    ((body),) = heard(acme)
    assert body["code"] == "STEP_TIMEOUT"
    page = text(owner, reverse("executions:run", args=[furnished.slug, furnished.run]))
    assert "A person says how this goes on" in page


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"outcome": "READY"}, "required"),
        ({"comment": "seen"}, "required"),
        ({"outcome": "CANCELED", "comment": "seen"}, "valid choice"),
        ({"outcome": "SUCCEEDED", "comment": "seen", "output": "{"}, "not JSON"),
        ({"outcome": "SUCCEEDED", "comment": "seen", "output": "[1]"}, "values by port"),
        ({"outcome": "FAILED", "comment": "seen", "output": "{}"}, "leave this empty"),
        (
            {"outcome": "SUCCEEDED", "comment": "s", "output": '{"a": "%s"}' % ("x" * 33_000)},
            "too many",
        ),
    ],
)
def test_mistakes_are_shown_and_nothing_is_said(
    owner: Client, acme: Tenant, furnished: Furnished, said: dict[str, str], told: str
) -> None:
    form = asks(acme, furnished)
    answer = owner.post(form, {"step": "say", **said})
    assert answer.status_code in {400, 422}
    assert told in answer.content.decode()
    assert heard(acme) == []


def test_only_a_step_that_asks_has_a_form(
    owner: Client, stranger: Client, viewer: Any, acme: Tenant, furnished: Furnished
) -> None:
    form = asks(acme, furnished)
    for other in (form.replace("say", "again"), form + "x"):
        assert owner.get(other).status_code == 404
    stepless = form.partition("?")[0]
    run_page = reverse("executions:run", args=[furnished.slug, furnished.run])
    assert owner.get(stepless).headers["Location"] == run_page
    assert {stranger.get(one).status_code for one in (form, stepless)} == {404}
    reader = signed_in(viewer.user_id)
    assert reader.get(form).status_code == 403
    listed = text(reader, reverse("executions:questions", args=[furnished.slug]))
    assert "No answer from" in listed
    assert form not in listed
    assert "<span" not in listed.partition("Needs a person")[2].partition("</a>")[0]
