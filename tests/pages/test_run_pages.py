"""What a run's page says of its parts, and which buttons lead on from it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.executions.actions import fork_run
from apps.executions.engine.ports import StepCall, StepFailed, StepOpens, StepOutcome, StepWaits
from apps.executions.outline import outline
from apps.tenancy import scope
from apps.workflows.graph.mapping import MapOpening
from apps.workflows.graph.waits import Wait, WaitKind
from tests.executions.conftest import test_nodes  # noqa: F401
from tests.executions.families import Family
from tests.factories.graphs import a, to
from tests.factories.tenancy import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]


def page(client: Client, acme: Tenant, run_id: uuid.UUID, name: str = "run", **query: str) -> str:
    address = reverse(f"executions:{name}", args=[acme.organization.slug, run_id])
    return client.get(address, query).content.decode()


def test_a_node_that_only_stands_in_is_shown_where_it_did(owner: Client, acme: Tenant) -> None:
    def script(call: StepCall) -> StepOutcome | None:
        return StepFailed(code="NO", message="No.") if call.path == "best" else None

    family = Family(acme, script)
    rule: Any = [{"match": {}, "do": "fallback", "with": {"node": "cheap"}}]
    run_id = family.start(family.draw(a("best", onError=rule), a("cheap"), a("beside")))
    with family.working():
        assert family.ended(run_id).state == "SUCCEEDED"
    shown = page(owner, acme, run_id)
    assert "best/cheap" in shown
    assert "Canceled" not in shown, "cheap itself was never to run"
    assert "<dd>3 <small>of 3</small>" in shown
    assert "?from=beside" in shown
    assert "?from=best/cheap" not in shown, "nobody can fork from a copy"


def test_what_was_taken_over_is_no_time_of_the_new_run(acme: Tenant) -> None:
    family = Family(acme)
    drawn = family.draw(a("one"), a("two"), links=[to("one", "two")])
    first = family.start(drawn)
    with family.working():
        before = family.ended(first)
        with scope.tenant(acme.id, actor=acme.owner):
            forked = fork_run(actor=acme.owner, run_id=first, path="two").pk
        run = family.ended(forked)
    with scope.tenant(acme.id):
        seen = outline(run, drawn.draft_document)
    assert [one.reused_from for one in seen.latest] == [str(first), None]
    assert before.finished_at is not None
    assert seen.since is not None
    assert seen.since >= before.finished_at - dt.timedelta(milliseconds=1)


def test_the_end_brings_the_buttons_that_lead_on(owner: Client, acme: Tenant) -> None:
    family = Family(acme, lambda call: StepFailed(code="NO", message="No."))
    run_id = family.start(family.draw(a("one")))
    before = page(owner, acme, run_id, "live")
    assert "hx-swap-oob" not in before
    with family.working():
        assert family.ended(run_id).state == "FAILED"
    after = page(owner, acme, run_id, "live")
    assert 'id="actions" class="row page-actions" hx-swap-oob="true"' in after
    assert "Retry</a>" in after
    assert 'id="signal-box" hx-swap-oob="true"' in after
    assert "hx-swap-oob" not in page(owner, acme, run_id)


def test_the_form_of_a_signal_knows_what_is_awaited(owner: Client, acme: Tenant) -> None:
    def script(call: StepCall) -> StepOutcome | None:
        wait = Wait(kind=WaitKind.SIGNAL, name="paid", key="order-7")
        return StepWaits(wait=wait) if call.path == "one" else None

    family = Family(acme, script)
    run_id = family.start(family.draw(a("one", "waiting")))
    with family.working():
        family.until_asked(run_id)
        shown = page(owner, acme, run_id)
    assert 'name="name" value="paid"' in shown
    assert 'name="correlation_key" value="order-7"' in shown
    assert 'href="#signal"' in shown


def test_an_item_that_waits_says_so_and_rests_with_the_whole(owner: Client, acme: Tenant) -> None:
    def script(call: StepCall) -> StepOutcome | None:
        if call.node.type == "control.map":
            return StepOpens(opening=MapOpening(total=2, items=["Ada", "Bea"]))
        wait = Wait(kind=WaitKind.SIGNAL, name="agreed")
        return StepWaits(wait=wait) if call.node.id == "one" else None

    family = Family(acme, script)
    nodes = (
        {"id": "rows", "type": "control.map", "configuration": {"items": ["x"]}},
        a("one", "waiting", parentId="rows"),
    )
    drawn = family.draw(*nodes, links=[to("rows.item", "one"), to("one", "rows.result")])
    run_id = family.start(drawn)
    with family.working():
        family.until(
            run_id, lambda _: [one.state for one in family.children(run_id)] == ["WAITING"] * 2
        )
        items = page(owner, acme, run_id, "items", path="rows")
        whole = page(owner, acme, run_id)
        item = next(one for one in family.children(run_id) if one.parent_path == "rows[1]")
        part = page(owner, acme, item.pk)
    assert items.count("Waiting") == 2
    assert "Running" not in items
    assert "2 in progress or waiting" in whole
    assert "Pause</button>" in whole
    assert "Bea" in part
    assert "Pause</button>" not in part, "it rests with the run above"
