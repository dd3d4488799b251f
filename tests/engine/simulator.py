"""A world in memory for slices: a journal that can be cut, a pool that answers as a script says."""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from apps.executions.engine.fold import RunState, fold
from apps.executions.engine.history import (
    Event,
    Row,
    RunQueued,
    StepCompleted,
    StepFailed,
    decode,
    encode,
)
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import StepCall, StepDone, StepOutcome, StopReason
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import (
    Around,
    Arrival,
    Batch,
    Claim,
    Inbox,
    LeaseLost,
    Left,
    Outcome,
)
from apps.workflows.graph.declaration import Effect

START = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
Script = Callable[[StepCall], StepOutcome]


class Cut(BaseException):
    """The worker died here."""


def echo(call: StepCall) -> StepOutcome:
    """Every step succeeds and says its name."""
    return StepDone(outputs={"value": call.path})


@dataclass
class World:
    """What outlives a worker: history, effects that happened, time."""

    plan: Plan
    script: Script = echo
    seed: int = 0
    slots: int = 4
    cut_at: int | None = None
    rows: list[Row] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    attempts: Counter[tuple[str, int]] = field(default_factory=Counter)
    now: dt.datetime = START
    points: int = 0
    deadline_at: dt.datetime | None = None
    crashes: int = 0
    mail: list[Inbox] = field(default_factory=list)
    draining: bool = False
    crowded: bool = False
    lost: bool = False
    stuck: set[str] = field(default_factory=set)
    """Steps that never come back, not even when asked to stop."""
    patient: dict[str, StepOutcome] = field(default_factory=dict)
    """Steps that come back only when asked to stop, with this."""
    seconds: dict[str, float] = field(default_factory=dict)
    stops: list[StopReason] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    mail_after: dict[str, Inbox] = field(default_factory=dict)
    """What comes into the inbox when a step comes back."""
    mail_at: tuple[dt.datetime, Inbox] | None = None
    on_flush: Callable[[int], None] = lambda _posted: None
    """Told how many batches a flush had to wait for."""
    drain_after: str | None = None
    """The process begins to drain when this step comes back."""
    cut_before: str | None = None
    """The worker dies as this step is about to run."""

    def __post_init__(self) -> None:
        self.rows.append(encode(RunQueued(trigger="API")))
        self.chance = random.Random(self.seed)

    def events(self) -> list[Event]:
        """The durable history."""
        return [read(row) for row in self.rows]

    def folded(self) -> RunState:
        """What the durable history amounts to."""
        return fold(self.plan, self.events())

    def claim(self, **changes: object) -> Claim:
        """A fresh lease."""
        claim = Claim(
            item_id=1,
            tenant_id=uuid.UUID(int=1),
            run_id=uuid.UUID(int=2),
            token=uuid.uuid4(),
            head=len(self.rows),
            settled=0,
            slots=self.slots,
            crashes=self.crashes,
            has_inbox=bool(self.mail),
            pool="io",
            workflow_id=uuid.UUID(int=3),
            version_id=uuid.UUID(int=4),
            environment="DEVELOPMENT",
            environment_id=uuid.UUID(int=5),
            lineage_id=uuid.UUID(int=2),
            installation_id=None,
            parameters={},
            variables={},
            created_at=START,
            deadline_at=self.deadline_at,
        )
        return replace(claim, **changes)  # type: ignore[arg-type]

    def slice(self, **changes: object) -> Outcome:
        """One worker's turn, from the durable history."""
        journal = MemoryJournal(self)
        pool = ScriptedPool(self, journal)
        around = Around(journal=journal, pool=pool, control=ScriptedControl(self))
        outcome = Slice(self.claim(**changes), self.folded(), around).run()
        journal.flush()
        return outcome

    def finish(self, *, turns: int = 500) -> RunState:
        """Turns until the run has ended; a cut worker is followed by the next."""
        for _ in range(turns):
            try:
                outcome = self.slice()
            except (Cut, LeaseLost):
                self.cut_at = None
                continue
            if outcome.left is Left.FINISHED:
                return self.folded()
            if outcome.left is Left.PARKED:
                self.now = max(self.now, min(self.folded().retrying.values()))
        raise AssertionError("the run did not end")

    def ran(self, path: str) -> bool:
        """Whether a step was ever attempted."""
        return any(name == path for name, _ in self.attempts)

    def point(self) -> None:
        """A place where the worker may die."""
        self.points += 1
        if self.points == self.cut_at:
            raise Cut


class MemoryJournal:
    """History in a list; what is posted is lost when the worker is cut before the flush."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.head = len(world.rows)
        self.posted: list[Batch] = []

    def append(self, batch: Batch) -> None:
        self.flush()
        self.world.point()
        self._write(batch)
        self.world.point()

    def post(self, batch: Batch) -> None:
        self.posted.append(batch)
        self.world.point()

    def flush(self) -> None:
        self.world.on_flush(len(self.posted))
        for batch in self.posted:
            self.world.point()
            self._write(batch)
        self.posted.clear()

    def inbox(self) -> Inbox:
        return self.world.mail.pop(0) if self.world.mail else Inbox()

    def _write(self, batch: Batch) -> None:
        assert batch.head == len(self.world.rows), "compare-and-set"
        self.world.rows.extend(batch.rows)
        self.world.batches.append(batch)


class ScriptedControl:
    """The process as a test wants it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> dt.datetime:
        return self.world.now

    def is_lost(self) -> bool:
        return self.world.lost

    def is_draining(self) -> bool:
        return self.world.draining

    def is_crowded(self) -> bool:
        return self.world.crowded

    def has_mail(self) -> bool:
        if self.world.mail_at is not None and self.world.now >= self.world.mail_at[0]:
            self.world.mail.append(self.world.mail_at[1])
            self.world.mail_at = None
        return bool(self.world.mail)


class ScriptedPool:
    """Answers in an order of chance; each step takes its seconds of virtual time."""

    def __init__(self, world: World, journal: MemoryJournal) -> None:
        self.world = world
        self.journal = journal
        self.flying: dict[int, tuple[StepCall, dt.datetime]] = {}
        self.reason: StopReason | None = None

    def submit(self, index: int, call: StepCall, *, light: bool) -> None:
        self.check(call)
        if call.path == self.world.cut_before:
            self.world.cut_before = None
            raise Cut
        seconds = self.world.seconds.get(call.path, 0.001)
        self.flying[index] = (call, self.world.now + dt.timedelta(seconds=seconds))

    def check(self, call: StepCall) -> None:
        """What must be durable before a step touches the world."""
        effect = call.node_type.effect
        self.world.attempts[call.path, call.attempt] += 1
        durable = self.world.events()
        if effect is Effect.PURE:
            state = fold(self.world.plan, durable)
            for link in self.world.plan.step(call.path).incoming:
                source = self.world.plan.steps[link.source]
                settled = state.records[link.source].status.is_settled
                skipped = source.disabled or settled or not self.world.ran(source.path)
                assert source.is_pure or skipped, (
                    "a successor started before its effect was recorded"
                )
            return
        done = {e.path for e in durable if isinstance(e, StepCompleted | StepFailed)}
        assert call.path not in done, "an effect ran after its completion was recorded"
        state = fold(self.world.plan, durable)
        step = self.world.plan.step(call.path)
        assert all(state.records[link.source].status.is_settled for link in step.incoming), (
            "an effect ran before its inputs were durable"
        )
        if effect in (Effect.UNSAFE, Effect.RECONCILABLE):
            assert state.records[step.index].status.value == "RUNNING", "no intent"

    def arrivals(self, *, seconds: float) -> tuple[Arrival, ...]:
        world = self.world
        world.point()
        until = world.now + dt.timedelta(seconds=seconds)
        if world.mail_at is not None:
            until = min(until, max(world.mail_at[0], world.now))
        back = [index for index, (call, at) in self.flying.items() if self.is_back(call, at, until)]
        if not back:
            world.now = max(until, world.now + dt.timedelta(microseconds=1))
            return ()
        world.chance.shuffle(back)
        back = back[: world.chance.randint(1, len(back))]
        world.now = max(world.now, *(min(self.flying[i][1], until) for i in back))
        return tuple(self.arrive(index) for index in back)

    def is_back(self, call: StepCall, at: dt.datetime, until: dt.datetime) -> bool:
        if call.path in self.world.stuck:
            return False
        if call.path in self.world.patient:
            return self.reason is not None
        return at <= until

    def arrive(self, index: int) -> Arrival:
        call, _ = self.flying.pop(index)
        if call.node_type.effect is not Effect.PURE:
            self.world.effects[call.idempotency_key] += 1
        outcome = self.world.patient.get(call.path) or self.world.script(call)
        if call.path in self.world.mail_after:
            self.world.mail.append(self.world.mail_after.pop(call.path))
        self.world.draining = self.world.draining or call.path == self.world.drain_after
        return Arrival(index=index, attempt=call.attempt, outcome=outcome, fraction=0.5)

    def stop(self, reason: StopReason) -> None:
        self.reason = reason
        self.world.stops.append(reason)

    def abandon(self, index: int) -> None:
        call, _ = self.flying.pop(index)
        self.world.abandoned.append(call.path)


def read(row: Row) -> Event:
    """A row as the database would give it back."""
    body = json.loads(row.body) if row.body else None
    return decode(row.type, path=row.path, attempt=row.attempt, body=body)
