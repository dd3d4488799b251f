"""A step that can be asked for, cut off at its last attempt: asked once more, never sent again."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.executions import history
from apps.executions.engine.codec import decode
from apps.executions.engine.history import AttemptFailed
from apps.executions.engine.slice_ports import AskKind
from apps.executions.models import Ask, Run
from apps.executions.runner.local import LocalRunner
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from tests.executions.shop_nodes import SHOP
from tests.executions.test_shop import Bank, bank, step
from tests.executions.world import finished, reached, start, types, worker
from tests.factories.graphs import raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ("bank",)
PLACES = {"pools": ["io", "cpu"]}


def begun(acme: Tenant, bank: Bank, **fields: Any) -> uuid.UUID:
    """charge, whose own process the bank ends, then ship."""
    nodes = [step("charge", bank, "apart", **fields), step("ship", bank)]
    return start(acme, raw(nodes, [to("charge", "ship")]), catalogue=SHOP)


def cut_off(acme: Tenant, run_id: uuid.UUID) -> list[str]:
    """The codes of the attempts that did not decide."""
    with scope.tenant(acme.id):
        rows = history.all_events(run_id)
        events = [decode(r.type, path=r.path, attempt=r.attempt, body=r.body or {}) for r in rows]
    return [one.failure.code for one in events if isinstance(one, AttemptFailed)]


def end_of(acme: Tenant, run_id: uuid.UUID) -> Run:
    with worker(LocalRunner(), settings=PLACES, catalogue=SHOP):
        return finished(acme, run_id, seconds=60)


@pytest.mark.parametrize("attempts", [1, 2])
def test_what_the_other_side_has_done_is_found(acme: Tenant, bank: Bank, attempts: int) -> None:
    bank.kills = ("after", "charge")
    run_id = begun(acme, bank, retry={"maxAttempts": attempts, "backoffSeconds": 0})
    run = end_of(acme, run_id)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    assert cut_off(acme, run_id) == ["PROCESS_DIED"]
    assert (bank.acted, bank.sent["charge"], bank.asked["charge"]) == (["charge", "ship"], 1, 1)
    assert verify_tenant(acme.id) == []


def test_what_it_knows_nothing_of_has_failed_and_nothing_is_sent(acme: Tenant, bank: Bank) -> None:
    bank.kills = ("before", "charge")
    run_id = begun(acme, bank, retry={"maxAttempts": 1})
    run = end_of(acme, run_id)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("FAILED", "PROCESS_DIED")
    assert "knows of no effect" in run.error["message"]
    assert cut_off(acme, run_id) == ["PROCESS_DIED"]
    assert (bank.acted, bank.sent["charge"], bank.asked["charge"]) == ([], 1, 1)
    assert verify_tenant(acme.id) == []


def test_a_try_that_is_left_is_taken_before_that(acme: Tenant, bank: Bank) -> None:
    bank.kills = ("before", "charge")
    run_id = begun(acme, bank, retry={"maxAttempts": 2, "backoffSeconds": 0})
    assert end_of(acme, run_id).state == "SUCCEEDED"
    assert (bank.acted, bank.sent["charge"], bank.asked["charge"]) == (["charge", "ship"], 2, 1)


def test_where_nobody_answers_a_person_is_asked(acme: Tenant, bank: Bank) -> None:
    bank.kills, bank.deaf = ("after", "charge"), 1
    run_id = begun(acme, bank, retry={"maxAttempts": 1})
    with worker(LocalRunner(), settings=PLACES, catalogue=SHOP):
        reached(acme, run_id, "WAITING", seconds=60)
    assert types(acme, run_id)[-1] == "step.waiting charge"
    with scope.tenant(acme.id):
        (asked,) = Ask.objects.filter(run_id=run_id)
    assert asked.kind == AskKind.WAITING
    assert (bank.sent["charge"], bank.asked["charge"]) == (1, 1)
