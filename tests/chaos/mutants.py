"""Broken engines: each is a known way to lose or to double something, and must be caught."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from types import ModuleType
from typing import Final

import psycopg
from django.db import connection

from apps.executions import relay
from apps.executions.crashpoints import crashpoint
from apps.executions.engine.slice_ports import Batch, Claim
from apps.executions.store import journal
from apps.executions.store.connections import Connections
from apps.executions.store.resilient import Patience, append_surely
from apps.executions.store.statements import change_text
from tests import database


class Mutant(StrEnum):
    """What is broken."""

    NO_FENCE = "no_fence"
    """An append compares the head alone."""
    TASKS_LATER = "tasks_later"
    """A dispatch is one transaction, its task another."""
    ID_CURSOR = "id_cursor"
    """The relay remembers the last id it saw."""
    COUNTER_TOKEN = "counter_token"
    """A claim's token is the number of the claim."""
    CRASHES_FORGOTTEN = "crashes_forgotten"
    """The reaper does not count deaths."""
    UNKNOWN_WORKERS_SPARED = "unknown_workers_spared"
    """The reaper looks at workers that have a row."""


@dataclass(frozen=True)
class Edit:
    """In the bodies of the functions so named, a pattern becomes something else."""

    functions: str
    pattern: str
    becomes: str


EDITS: Mapping[Mutant, tuple[Edit, ...]] = {
    Mutant.NO_FENCE: (
        Edit(
            "engine_append%", r"\b(y\.)?fence = (g\.token|p_token|p_tokens\[i\]|p_fence)\s+AND ", ""
        ),
    ),
    Mutant.TASKS_LATER: (
        Edit("engine_change%", r"PERFORM engine_dispatch_\d+\([^;]*;", "PERFORM 1;"),
    ),
    Mutant.COUNTER_TOKEN: (
        Edit(
            "engine_claim%",
            r"fresh := gen_random_uuid\(\);",
            "fresh := lpad(to_hex((SELECT coalesce(max(c.claims), 0) + 1 FROM work_item c"
            " WHERE c.tenant_id = l.tenant_id)), 32, '0')::uuid;",
        ),
    ),
    Mutant.CRASHES_FORGOTTEN: (Edit("engine_reap%", r", crashes = (w\.)?crashes \+ 1", ""),),
    Mutant.UNKNOWN_WORKERS_SPARED: (Edit("engine_reap%", r"LEFT JOIN worker", "JOIN worker"),),
}


_PLACES: Final[tuple[tuple[ModuleType, str], ...]] = (
    (relay, "_due"),
    (journal, "append_surely"),
)


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The database of this test is broken until the block ends; its processes break themselves."""
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        whole: list[str] = []
        for edit in EDITS.get(mutant, ()):
            whole += _edited(owner, edit)
        try:
            with broken_here(mutant):
                yield
        finally:
            for definition in whole:
                owner.execute(definition.encode())


def _edited(owner: psycopg.Connection, edit: Edit) -> list[str]:
    """What was there before. Raises when the fault has no place in what workers call now."""
    found = owner.execute(
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE %s"
        " ORDER BY proname",
        (edit.functions,),
    ).fetchall()
    has_place = {name: bool(re.search(edit.pattern, text)) for name, text in found}
    newest = {name.rpartition("_")[0]: name for name in has_place}
    touched = {name.rpartition("_")[0] for name, there in has_place.items() if there}
    if not touched or (gone := [newest[one] for one in touched if not has_place[newest[one]]]):
        where = gone if touched else edit.functions
        raise LookupError(f"{where} has nothing like {edit.pattern}: mend the mutant")
    before = [text for name, text in found if has_place[name]]
    for definition in before:
        owner.execute(re.sub(edit.pattern, edit.becomes, definition).encode())
    return before


@contextmanager
def broken_here(mutant: Mutant | None) -> Iterator[None]:
    """The part of a mutant that is Python, in this process."""
    kept = [(module, name, getattr(module, name)) for module, name in _PLACES]
    try:
        apply_code(mutant)
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def apply_code(mutant: str | None) -> None:
    """Break this process as the mutant says."""
    if mutant == Mutant.ID_CURSOR:
        relay._due = _by_cursor(relay._due)
    elif mutant == Mutant.TASKS_LATER:
        setattr(journal, "append_surely", _append_then_dispatch)  # noqa: B010 - it imports it


def _by_cursor(_due: Callable[[], list[relay._Entry]]) -> Callable[[], list[relay._Entry]]:
    seen = 0

    def due() -> list[relay._Entry]:
        nonlocal seen
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT xid::text, id, tenant_id, run_id, kind FROM outbox WHERE id > %s"
                " ORDER BY id LIMIT 200",
                [seen],
            )
            entries = [relay._Entry(*row) for row in cursor.fetchall()]
        seen = max((entry.id for entry in entries), default=seen)
        return entries

    return due


def _append_then_dispatch(
    connections: Connections,
    patience: Patience,
    claim: Claim,
    batch: Batch,
    *,
    sent: Callable[[], bool] | None = None,
) -> None:
    append_surely(connections, patience, claim, batch, sent=sent)
    if batch.change.tasks:
        crashpoint("append.committed")
        text = change_text(replace(batch.change, left=None))
        connections.get().execute(
            "SELECT set_config('app.tenant', %s, false)", (str(claim.tenant_id),)
        )
        connections.get().execute(
            "SELECT engine_dispatch_2(%s, %s, %s::jsonb -> 'tasks')",
            (claim.tenant_id, claim.run_id, text),
        )
