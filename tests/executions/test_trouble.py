"""A worker whose SQL functions are not there: it waits, says so now and then, and goes on."""

from __future__ import annotations

import psycopg
import pytest

from apps.executions.models import WorkItem
from apps.executions.store import appends
from apps.executions.worker.trouble import LONGEST_PAUSE, Trouble, is_mismatch
from apps.tenancy import scope
from tests.executions.test_item_runs import until
from tests.executions.world import finished, start, worker
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_failure_is_said_as_it_comes_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    trouble = Trouble(clock=clock)
    for seconds, is_said in ((0, True), (1, False), (58, False), (1, True)):
        clock.now += seconds
        assert trouble.met("claiming failed", ValueError("why")) is is_said
    assert trouble.met("claiming failed", KeyError("else")), "another failure is another line"
    assert "claiming failed: why (2 times more since it was last said)" in caplog.messages


def test_pauses_grow_to_a_bound_and_end_with_what_goes_well() -> None:
    clock = Clock()
    trouble = Trouble(clock=clock)
    pauses = []
    for _ in range(12):
        trouble.hold_back()
        trouble.hold_back()  # Another thread, with the same.
        pauses.append(trouble.pause())
        clock.now += trouble.pause() + 0.001
    assert pauses[0] < 1
    assert LONGEST_PAUSE * 0.8 <= pauses[-1] <= LONGEST_PAUSE * 1.2
    trouble.end()
    assert trouble.is_over
    assert trouble.pause() == 0


def test_only_what_every_try_would_meet_is_a_mismatch() -> None:
    assert is_mismatch(psycopg.errors.UndefinedFunction())
    assert not is_mismatch(psycopg.errors.InsufficientPrivilege())
    assert not is_mismatch(psycopg.OperationalError())
    assert not is_mismatch(ValueError())


@pytest.mark.django_db(transaction=True)
def test_a_function_that_is_missing_is_nobodys_death(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("_APPEND", "_APPEND_FEW", "_APPEND_BATCH"):
        text: str = getattr(appends, name)
        monkeypatch.setattr(appends, name, text.replace("engine_append", "engine_absent"))
    run_id = start(acme, raw([a("n0", "unsafe")]))
    with worker():
        until(lambda: item_of(acme).claims >= 4)
        assert item_of(acme).crashes == 0
        assert sum("broke off" in line for line in caplog.messages) == 1
        monkeypatch.undo()
        assert finished(acme, run_id, seconds=40).state == "SUCCEEDED"


def item_of(tenant: Tenant) -> WorkItem:
    with scope.tenant(tenant.id):
        found: WorkItem = WorkItem.objects.get()
    return found
