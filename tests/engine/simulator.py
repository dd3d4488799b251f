"""A world in memory for slices: a journal that can be cut, a pool that answers as a script says."""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from apps.executions.engine.calls import call_of
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
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepOutcome,
    StepStopped,
    StopReason,
)
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
from apps.executions.engine.task import (
    Task,
    TaskResult,
    TaskStarted,
    read_result,
    result_body,
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
    tasks: list[Task] = field(default_factory=list)
    """Dispatched and not yet done."""
    dispatched: Counter[tuple[str, int]] = field(default_factory=Counter)
    words: dict[uuid.UUID, TaskStarted | TaskResult] = field(default_factory=dict)
    """What tasks have put into the inbox and no append has consumed."""
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
            has_inbox=bool(self.mail or self.words),
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
            if outcome.left is Left.PARKED and self.tasks:
                self.work(self.tasks[self.chance.randrange(len(self.tasks))])
            elif outcome.left is Left.PARKED and not self.words:
                self.now = max(self.now, min(self.folded().retrying.values()))
        raise AssertionError("the run did not end")

    def work(self, task: Task) -> None:
        """Another process runs a task: its call is built from history alone."""
        state = self.folded()
        step = state.step(task.path)
        call = call_of(
            self.claim(),
            state,
            step,
            attempt=task.attempt,
            started_at=self.now,
            interrupted=False,
        )
        self.attempts[task.path, task.attempt] += 1
        if not step.is_pure:
            self.effects[call.idempotency_key] += 1
        if self.chance.random() < 0.3:
            self.say(TaskStarted(path=task.path, attempt=task.attempt, started_at=self.now))
        started_at, self.now = self.now, self.now + dt.timedelta(seconds=0.1)
        self.finish_task(task, self.script(call), started_at=started_at)

    def finish_task(self, task: Task, outcome: StepOutcome, *, started_at: dt.datetime) -> None:
        """The item goes and the result comes, in one transaction; both through their JSON."""
        self.tasks.remove(task)
        result = TaskResult(
            path=task.path, attempt=task.attempt, started_at=started_at, outcome=outcome
        )
        self.say(read_result(json.loads(result_body(result))))

    def say(self, word: TaskStarted | TaskResult) -> None:
        """Into the inbox."""
        self.words[uuid.UUID(int=self.chance.getrandbits(128))] = word

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
        mail = self.world.mail.pop(0) if self.world.mail else Inbox()
        words = self.world.words
        return replace(mail, ids=(*mail.ids, *words), tasks=(*mail.tasks, *words.values()))

    def _write(self, batch: Batch) -> None:
        assert batch.head == len(self.world.rows), "compare-and-set"
        self.world.rows.extend(batch.rows)
        self.world.batches.append(batch)
        for consumed in batch.change.consumed:
            self.world.words.pop(consumed, None)
        for task in batch.change.tasks:
            self.world.dispatched[task.path, task.attempt] += 1
            self.world.tasks.append(task)
        if batch.change.recall:
            for task in tuple(self.world.tasks):
                stopped = StepStopped(reason=StopReason.CANCELED)
                self.world.finish_task(task, stopped, started_at=self.world.now)


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
            for link in state.step(call.path).incoming:
                source = state.steps[link.source]
                settled = state.records[link.source].status.is_settled
                skipped = source.disabled or settled or not self.world.ran(source.path)
                assert source.is_pure or skipped, (
                    "a successor started before its effect was recorded"
                )
            return
        done = {e.path for e in durable if isinstance(e, StepCompleted | StepFailed)}
        assert call.path not in done, "an effect ran after its completion was recorded"
        state = fold(self.world.plan, durable)
        step = state.step(call.path)
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
