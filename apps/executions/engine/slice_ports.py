"""What a slice is given and what it asks of the process around it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final, Protocol
from uuid import UUID

from apps.executions.engine.codec import Row
from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.facts import fact
from apps.executions.engine.fold import RunState
from apps.executions.engine.mapping import Chunk, ChunkResult
from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.ports import (
    StepCall,
    StepFailed,
    StepOutcome,
    StopReason,
    TransactionalWrite,
)
from apps.executions.engine.record import Totals
from apps.executions.engine.retry_budget import Throttle
from apps.executions.engine.state import RunStatus
from apps.executions.engine.task import Task, TaskResult, TaskStarted
from apps.executions.engine.wait_events import SignalReceived, StepAnswer
from apps.workflows.graph.declaration import Json
from apps.workflows.graph.document import Concurrency


class LeaseLost(Exception):
    """Another owner holds the run, or this process may not trust its lease: drop everything."""


class Left(StrEnum):
    """How a slice ended."""

    FINISHED = "FINISHED"
    PARKED = "PARKED"
    YIELDED = "YIELDED"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A leased run item with the facts of its run. `slots` are granted to this slice."""

    item_id: int
    tenant_id: UUID
    run_id: UUID
    token: UUID
    head: int
    settled: int
    slots: int
    crashes: int
    has_inbox: bool
    pool: str
    workflow_id: UUID
    version_id: UUID
    environment: str
    environment_id: UUID
    lineage_id: UUID
    installation_id: UUID | None
    parameters: Mapping[str, Json]
    variables: Mapping[str, Json]
    created_at: dt.datetime
    deadline_at: dt.datetime | None
    is_held: bool = False
    """Its workflow does not let it begin yet: only mail and deadline are looked at."""

    @cached_property
    def keys(self) -> tuple[bytes, bytes, bytes]:
        """Tenant, run and token, as every append sends them."""
        keys = (self.tenant_id, self.run_id, self.token)
        tenant, run, token = (one.hex.encode() for one in keys)
        return tenant, run, token


@dataclass(frozen=True, kw_only=True)
class TaskClaim(Claim):
    """A leased task: one attempt of one step of a run that somebody else owns."""

    path: str
    attempt: int
    has_begun: bool
    """An earlier worker had made the intent of this attempt durable."""


@dataclass(frozen=True, kw_only=True)
class ChunkClaim(Claim):
    """A leased slice of a map's items."""

    path: str
    attempt: int
    chunk: int


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """What others told the run since the last look; `ids` are consumed by the next append."""

    ids: tuple[UUID, ...] = ()
    cancel: CancelRequest | None = None
    pause: PauseRequest | None = None
    """The latest word on it."""
    tasks: tuple[TaskStarted | TaskResult | ChunkResult, ...] = ()
    """What other processes say of dispatched steps, in the order of arrival."""
    signals: tuple[SignalReceived, ...] = ()
    answers: tuple[StepAnswer, ...] = ()
    """What waiting steps come to."""


class AskKind(StrEnum):
    """What the rest of the product is told about a wait, in the append that records it."""

    WAITING = "step.waiting"  # somebody shall answer
    WITHDRAWN = "step.withdrawn"  # nobody need answer any more: other steps made it needless
    OVERDUE = "step.overdue"  # nobody need answer any more: its time was over
    OVER = "run.over"  # nor any other step of the run: it has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """Ids only: whoever does it reads the event of that sequence."""

    kind: AskKind
    seq: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one append does beside its events."""

    status: RunStatus | None = None
    unbegun: bool = False
    """It ended before it began: the claim said that it does."""
    left: Left | None = None
    wake_at: dt.datetime | None = None
    """With PARKED: when a timer makes the run ready again."""
    consumed: tuple[UUID, ...] = ()
    result: str | None = None
    error: Mapping[str, Json] | None = None
    totals: Totals | None = None
    writes: tuple[TransactionalWrite, ...] = ()
    tasks: tuple[Task, ...] = ()
    """Attempts for workers of other pools; their events are in the same batch."""
    recall: bool = False
    """Tasks nobody has begun come back at once, those that run are asked to stop."""
    halts: tuple[str, ...] = ()
    """The same for the tasks of some steps, once the rest is durable."""
    asks: tuple[Ask, ...] = ()
    signals: int | None = None
    """How many nobody has taken, when that has changed."""
    chunks: tuple[Chunk, ...] = ()
    """Slices of maps for other workers; their events are in the same batch."""
    recalls: tuple[str, ...] = ()
    """Paths of maps whose slices shall come back."""

    @property
    def is_empty(self) -> bool:
        """Nothing but events."""
        return self is NOTHING or self == NOTHING

    @property
    def is_plain(self) -> bool:
        """At most the run's state beside the events."""
        return self is NOTHING or self == Change(status=self.status)

    def joined(self, later: Change) -> Change:
        """Both at once, for two batches that become one."""
        if later.is_empty:
            return self
        return replace(
            later,
            status=later.status or self.status,
            consumed=self.consumed + later.consumed,
            writes=self.writes + later.writes,
            tasks=self.tasks + later.tasks,
            recall=self.recall or later.recall,
            halts=self.halts + later.halts,
            asks=self.asks + later.asks,
            signals=self.signals if later.signals is None else later.signals,
            chunks=self.chunks + later.chunks,
            recalls=self.recalls + later.recalls,
        )


NOTHING: Final = Change()


@fact
class Batch:
    """One append: rows that follow `head`, how many steps they settle, and the change."""

    head: int
    rows: tuple[Row, ...]
    settled: int
    change: Change


class Journal(Protocol):
    """The durable history of the one run it is bound to. Every method may raise LeaseLost."""

    def append(self, batch: Batch) -> None:
        """Durable on return, after everything posted before."""

    def begin(self, batch: Batch) -> None:
        """On its way on return; `land` comes next."""

    def land(self) -> None:
        """Returns when what was begun is durable."""

    def post(self, batch: Batch) -> None:
        """Durable soon, in order, grouped with other runs; returns at once."""

    def flush(self) -> None:
        """Returns when everything posted or begun is durable."""

    def inbox(self) -> Inbox:
        """What is unread."""


@fact
class Arrival:
    """An attempt came back. `fraction` is its share of chance, for the backoff."""

    index: int
    attempt: int
    outcome: StepOutcome
    fraction: float


class StepPool(Protocol):
    """Runs the steps of one slice."""

    def submit(
        self, index: int, call: StepCall, *, light: bool, durable: Callable[[], None]
    ) -> None:
        """Start an attempt; a `light` one may run on the caller's thread, in `arrivals`.

        `durable` is called on the caller's thread before its body runs: it returns when all that
        the step builds upon is durable, or raises LeaseLost.
        """

    def arrivals(self, *, seconds: float) -> tuple[Arrival, ...]:
        """All that came back; waits at most that long for the first. Returns early on a nudge."""

    def settle(self, call: StepCall) -> StepOutcome:
        """Evaluate the conditions of a step whose outcome is `call.given`, here and now."""

    def stop(self, reason: StopReason) -> None:
        """Ask every running step to stop."""

    def halt(self, index: int) -> None:
        """Ask one running step to stop: it is canceled, the others go on."""

    def abandon(self, index: int) -> None:
        """Give up a step that does not stop: its outcome will not be delivered."""


class Control(Protocol):
    """What the process knows about this slice; read between steps, cheap."""

    def now(self) -> dt.datetime:
        """The database's clock, as well as this process knows it."""

    def is_lost(self) -> bool:
        """The lease cannot be trusted any more."""

    def is_draining(self) -> bool:
        """The process stops: start nothing."""

    def is_crowded(self) -> bool:
        """Another lane waits for a slot."""

    def has_mail(self) -> bool:
        """Something came into the run's inbox since it was last read; reading resets it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Busy:
    """All places of a key are taken; look again after so many seconds."""

    seconds: float


class KeyGates(Protocol):
    """Where the holders of keys stand, for one run."""

    def enter(
        self, call: StepCall, bound: Concurrency, *, shared: bool
    ) -> Busy | StepFailed | None:
        """Take a place for this step, durably; None when it has one.

        `shared`: with all steps of the workflow, not of the node alone. A step that had a place
        when its worker died has it still.
        """

    def leave(self, path: str) -> None:
        """Give the place back; one that is not given back is void when the run moves on."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """Everything a slice uses."""

    journal: Journal
    pool: StepPool
    control: Control
    keys: KeyGates | None = None
    throttle: Throttle | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a slice ended, with the state to keep warm when the run goes on."""

    left: Left
    state: RunState
    busy_ms: int
