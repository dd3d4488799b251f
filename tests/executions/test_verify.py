"""The invariants see what they are there to see."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.executions.verify import _queries, verify_tenant
from apps.tenancy import scope
from tests.executions.world import start
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

BREAKS = {
    "I1": "DELETE FROM work_item",
    "I2": "UPDATE run SET finished_at = now()",
    "I5": "UPDATE run SET head = 2",
    "I9": "UPDATE run SET settled = 1",
    "I13": "UPDATE work_item SET granted = 99, worker_id = gen_random_uuid(),"
    " token = gen_random_uuid()",
    "I16": "INSERT INTO map_chunk (tenant_id, run_id, path, chunk, attempt, low, high, state)"
    " SELECT tenant_id, id, 'rows', 0, 1, 0, 4, 'done' FROM run",
    "I30": "INSERT INTO run_event (tenant_id, run_id, seq, type, path, body)"
    " SELECT tenant_id, id, 9, 'chunk.dispatched', 'rows',"
    """ '{"chunk": 0, "pool": "io"}' FROM run""",
    "I19": "UPDATE work_item SET run_id = gen_random_uuid()",
    "I20": "UPDATE lane SET has_ready = false",
    "I29": "UPDATE run SET held_key = now()",
    "I31": "INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body)"
    " SELECT tenant_id, id, 9, 'step.waiting', 'n0', 1,"
    """ '{"kind": "CHILD", "startedAt": 0}' FROM run""",
    "I32": "UPDATE run SET parent_id = id, parent_kind = 'STEP'",
    "I33": "INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, chunk, state, child)"
    " SELECT tenant_id, id, 'rows', 0, 1, 0, 'begun', gen_random_uuid() FROM run",
    "I34": "WITH u AS (UPDATE run SET parent_id = id, parent_kind = 'ITEM', parent_attempt = 0"
    " RETURNING tenant_id, id) INSERT INTO map_item (tenant_id, run_id, path, idx, attempt, state,"
    " undoer, undone) SELECT tenant_id, id, 'rows', 0, 1, 'done', id, true FROM u",
    "I25": "INSERT INTO run_inbox (tenant_id, run_id, id, kind)"
    " SELECT tenant_id, gen_random_uuid(), gen_random_uuid(), 'x' FROM run",
}


def test_the_file_has_a_query_for_each() -> None:
    assert [name.split()[0] for _, name, _ in _queries()] == [
        "I1", "I28", "I2", "I5", "I6", "I9", "I13", "I27", "I16", "I30",
        "I19", "I20", "I25", "I29", "I4", "I31", "I32", "I33", "I34",
    ]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("invariant", BREAKS)
def test_a_broken_row_is_named(acme: Tenant, invariant: str) -> None:
    start(acme, chain(2))
    assert verify_tenant(acme.id) == []
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("SAVEPOINT whole")
        cursor.execute(BREAKS[invariant])
        found = {violation.invariant.split()[0] for violation in verify_tenant(acme.id)}
        cursor.execute("ROLLBACK TO SAVEPOINT whole")
    assert invariant in found


@pytest.mark.django_db
def test_operators_ask_by_command(acme: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = start(acme, chain(2))
    call_command("engine", "verify")
    assert "every invariant holds" in capsys.readouterr().out
    call_command("engine", "status")
    assert "outbox: 0 to announce" in capsys.readouterr().out
    with pytest.raises(CommandError, match="No such worker"):
        call_command("engine", "drain", "--all")
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute("SAVEPOINT whole")
        cursor.execute("DELETE FROM work_item")
        with pytest.raises(CommandError, match="1 invariants do not hold"):
            call_command("engine", "verify")
        cursor.execute("ROLLBACK TO SAVEPOINT whole")
    violated = "I1 an open run has an item, a task or a timer, or it waits for somebody or is held:"
    assert f"{violated} {run_id}" in capsys.readouterr().out
