"""The SQL functions of tasks as typed calls."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.slice_ports import TaskClaim
from apps.executions.engine.task import (
    STARTED,
    TaskResult,
    TaskStarted,
    result_body,
    started_body,
)
from apps.executions.store.connections import Connection

_DONE: Final = (
    "SELECT engine_task_done_2(%s::uuid, %s::uuid, %s::bigint, %s::uuid, %s::uuid, %s::jsonb)"
)
_BEGUN: Final = "SELECT engine_task_begun_2(%s::bigint, %s::uuid)"
_TELL: Final = "SELECT executions_tell_1(%s::uuid, %s::uuid, %s::uuid, %s::text, %s::jsonb)"


def begun(connection: Connection, claim: TaskClaim) -> bool:
    """Make the intent of a task's effect durable; False when the task is another's."""
    crashpoint("intent.begun")
    row = connection.execute(_BEGUN, (claim.item_id, claim.token)).fetchone()
    crashpoint("intent.committed")
    return row is not None and bool(row[0])


def started(connection: Connection, claim: TaskClaim, notice: TaskStarted) -> None:
    """Tell the run's owner that a task has been running for a while."""
    given = (claim.tenant_id, claim.run_id, uuid4(), STARTED, started_body(notice))
    connection.execute(_TELL, given)


def done(connection: Connection, claim: TaskClaim, result: TaskResult) -> bool:
    """End a task; False when it is another's or has been ended by an earlier call of ours."""
    given = (claim.tenant_id, claim.run_id, claim.item_id, claim.token, uuid4())
    crashpoint("result.begun")
    row = connection.execute(_DONE, (*given, result_body(result))).fetchone()
    crashpoint("result.committed")
    return row is not None and bool(row[0])
