"""The short way to start a run: one statement, where everything stands as this process knows it."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import connection

from apps.executions import standing
from apps.executions.actions import wire
from apps.executions.actions.finding import found
from apps.executions.actions.orders import POOL, Order, order, record_of, write, written
from apps.executions.errors import RunRefused
from apps.executions.events import RunComing, RunReady
from apps.executions.models import Run, TriggerKind
from apps.executions.standing import Ceilings
from apps.kit import events
from apps.kit.ids import uuid7
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import EnvironmentKind

_TYPES: Final = (
    *("uuid", "uuid", "uuid", "text", "text[]", "text", "jsonb", "jsonb", "int", "int", "real"),
    *("bigint", "bigint", "jsonb"),
)
_LAUNCH: Final = (
    "SELECT * FROM executions_launch_7("  # noqa: S608 - constants
    f"{', '.join(f'%s::{name}' for name in _TYPES)})"
)
_LAUNCH_ALONE: Final = (
    "CALL executions_launch_alone_7("
    f"{', '.join(f'${at}::{name}' for at, name in enumerate((*_TYPES, 'uuid', 'text'), 1))}"
    ", NULL, NULL)"
)
ABI: Final = 7
"""Of the release whose functions write here."""
_COLUMNS: Final = (
    *("version", "environment", "trigger", "started_by_id", "priority", "pool", "slots"),
    *("parameters", "variables"),
)


def launched(
    *,
    actor: Actor,
    workflow_id: uuid.UUID,
    environment: EnvironmentKind | uuid.UUID,
    given: Mapping[str, Any],
    trigger: TriggerKind,
    mark: str | None = None,
    permit: Callable[[], object] = lambda: None,
) -> Run | None:
    """The run, or None when the long way must be gone: it knows, or says what is wrong.

    With a `mark` the actor is who this process has seen behind a key (`doors.presumed`): nothing is
    written unless the key still is what it was. `permit` is asked last.
    """
    known = standing.known(workflow_id, environment)
    if known is None or known.promises:
        return None  # How long its runs take is read in the tenant's scope.
    run_id, is_alone = uuid7(), not connection.in_atomic_block
    if mark is not None and not is_alone:
        return None
    if (
        is_alone
    ):  # A refusal that is still to come has waked somebody, a few times a second at most.
        events.publish_durable(RunComing(run_id=run_id, pool=POOL))
    try:
        ready = order(known, actor=actor, trigger=trigger, given=given)
    except RunRefused:
        return None  # By a version that may have been replaced.
    tenant_id = scope.current_tenant_id()
    room = _ROOM.asked(tenant_id, known.ceilings)
    values = _values(ready, actor=actor, run_id=run_id, named=environment, room=room)
    permit()
    times: tuple[Any, ...] | None
    if is_alone:
        with written():
            key_id = None if mark is None else actor.api_key_id
            times = wire.row_of(_LAUNCH_ALONE, [*values, key_id, mark])
    else:
        with scope.transaction():  # A refusal here shall not end theirs.
            times = write(_LAUNCH, values)
    if times is None or times[0] is None:
        return None
    if room[1] is not None:
        _ROOM.counted(tenant_id, known.ceilings)
    return _launched(ready, run_id=run_id, times=times)


def _values(
    ready: Order,
    *,
    actor: Actor,
    run_id: uuid.UUID,
    named: EnvironmentKind | uuid.UUID,
    room: tuple[int, int | None],
) -> list[wire.Value]:
    tenant_id, known = scope.current_tenant_id(), ready.standing
    return [
        tenant_id,
        run_id,
        known.workflow_id,
        str(named),
        list(known.compiled.secrets),
        known.digest,
        json.dumps(ready.facts),
        json.dumps(ready.event),
        known.ceilings.steps,
        known.ceilings.runs,
        known.ceilings.weight,
        *room,
        _act(ready, actor=actor, run_id=run_id),
    ]


def _launched(ready: Order, *, run_id: uuid.UUID, times: tuple[Any, ...]) -> Run:
    tenant_id = scope.current_tenant_id()
    events.publish_durable(RunReady(tenant_id=tenant_id, run_id=run_id, pool=POOL))
    if ready.facts.get("bounds") is not None:
        with scope.reading():  # Its gate has decided whether it waits.
            return found(run_id)
    created_at, deadline_at = map(_instant, times)
    return _run(ready, tenant_id=tenant_id, run_id=run_id, times=(created_at, deadline_at))


def _instant(told: Any) -> dt.datetime | None:
    return dt.datetime.fromisoformat(told) if isinstance(told, str) else told


def _run(ready: Order, *, tenant_id: uuid.UUID, run_id: uuid.UUID, times: tuple[Any, ...]) -> Run:
    """The row that was written, without reading it again."""
    facts = {name: ready.facts[name] for name in _COLUMNS}
    created_at, deadline_at = times
    run = Run(
        id=run_id,
        tenant_id=tenant_id,
        workflow_id=ready.standing.workflow_id,
        version_id=ready.standing.version_id,
        environment_id=ready.standing.place.id,
        lineage_id=run_id,
        installation_id=ready.standing.installation_id,
        started_by_id=facts.pop("started_by_id") and uuid.UUID(ready.facts["started_by_id"]),
        created_at=created_at,
        deadline_at=deadline_at,
        abi=ABI,
        gated=ready.facts["bounds"] is not None,
        **facts,
    )
    run._state.adding, run._state.db = False, "default"
    return run


def _act(ready: Order, *, actor: Actor, run_id: uuid.UUID) -> str | None:
    """The audit row of a person's start; what the platform starts by itself has none."""
    if actor.user_id is None:
        return None
    known = ready.standing
    row = {
        "id": str(uuid7()),
        "actor": actor.name[:160],
        "user_id": str(actor.user_id),
        "api_key_id": str(actor.api_key_id) if actor.api_key_id else None,
        "ip": actor.ip,
        **record_of(run_id, known),
    }
    return json.dumps(row)


class _Room:
    """Spares most starts the counting of open runs, which takes as long as there are many.

    Where a quarter of the places is free, a small share of those may be taken unseen: sixty
    processes together do not take more than there are, however long ago each has counted.
    """

    SHARE: Final = 64
    SECONDS: Final = 60.0
    """A limit that was lowered counts by then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[uuid.UUID, tuple[float, int]] = {}

    def asked(self, tenant_id: uuid.UUID, most: Ceilings) -> tuple[int, int | None]:
        """How many starts within a minute and how many open runs refuse this start.

        None for the runs when nothing needs to be counted.
        """
        if not self._unseen(most):
            return most.starts, most.queued
        with self._lock:
            until, left = self._left.get(tenant_id, (0.0, 0))
            if left and time.monotonic() < until:
                self._left[tenant_id] = until, left - 1
                return most.starts, None
        return most.starts - most.starts // 4, most.queued - most.queued // 4

    def counted(self, tenant_id: uuid.UUID, most: Ceilings) -> None:
        """There was room for a start that has asked."""
        with self._lock:
            self._left[tenant_id] = time.monotonic() + self.SECONDS, self._unseen(most)

    def _unseen(self, most: Ceilings) -> int:
        return min(most.queued, most.starts) // 4 // self.SHARE


_ROOM: Final = _Room()
