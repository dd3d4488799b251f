"""What executions says aloud: run-level facts, published by the outbox relay."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from apps.kit.events import Event
from apps.workflows.graph.waits import Wait


@dataclass(frozen=True, kw_only=True)
class RunReady(Event):
    """A run may have something to do: it was queued, or somebody wrote to its inbox."""

    tenant_id: UUID
    run_id: UUID
    pool: str


@dataclass(frozen=True, kw_only=True)
class RunComing(Event):
    """A run is about to be written, or refused: whoever shall have it may get up now."""

    run_id: UUID
    pool: str


@dataclass(frozen=True, kw_only=True)
class StepAsks(Event):
    """A step waits for somebody (`wait.kind`): whoever knows the kind asks, and answers it later.

    Published exactly once, while the run's row is locked; of a step that waits no more, never.
    """

    tenant_id: UUID
    run_id: UUID
    path: str
    attempt: int
    wait: Wait


@dataclass(frozen=True, kw_only=True)
class WaitOver(Event):
    """Nobody need answer any more: a step that had asked ran out of time, or its run has ended.

    `path` is None for every step of the run.
    """

    tenant_id: UUID
    run_id: UUID
    path: str | None
    attempt: int | None


@dataclass(frozen=True, kw_only=True)
class ChildOpen(Event):
    """A step of another run waits for this one, and has for a while: is that still so?"""

    tenant_id: UUID
    run_id: UUID


@dataclass(frozen=True, kw_only=True)
class HandlerOwed(Event):
    """The error handler of a failed run found no room to start: is there some by now?"""

    tenant_id: UUID
    run_id: UUID


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """A run reached a terminal state. `steps` counts attempts; the rest is their summed usage.

    `state` is the API's ExecutionStatus (SUCCEEDED PARTIAL FAILED CANCELED TIMED_OUT); `cost_minor`
    is in minor units of USD; `wall_ms` is from start to finish. `parent_kind` is set where another
    run started it (models.ParentKind).
    """

    tenant_id: UUID
    run_id: UUID
    workflow_id: UUID
    environment_id: UUID
    installation_id: UUID | None
    finished_at: dt.datetime
    state: str
    error_code: str | None
    steps: int
    cpu_seconds: float
    wall_ms: int
    bytes_in: int
    bytes_out: int
    cost_minor: int
    parent_kind: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunsFinished(Event):
    """The same of several runs of the tenant in force, once for each: for those who write lists."""

    runs: tuple[RunFinished, ...]
