"""A world in memory for slices: what outlives a worker, and the turns of one after another."""

from __future__ import annotations

import datetime as dt
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from apps.executions.engine.calls import call_of
from apps.executions.engine.codec import Row, encode
from apps.executions.engine.fold import RunState, fold
from apps.executions.engine.history import Event, RunQueued
from apps.executions.engine.mapping import Chunk, ChunkResult
from apps.executions.engine.plan import Plan
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StopReason,
)
from apps.executions.engine.retry_budget import Throttle
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import (
    Around,
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
from apps.executions.engine.wait_events import (
    SignalReceived,
    StepAnswer,
    answer_json,
    read_answer,
    read_signal,
    signal_json,
)
from apps.workflows.graph.declaration import WaitKind
from tests.engine.doubles import Cut, MemoryJournal, ScriptedControl, ScriptedPool, read
from tests.engine.simulated_items import ItemWorlds
from tests.engine.simulated_maps import MapBench, fails_fast

START = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
Script = Callable[[StepCall], StepOutcome]


def echo(call: StepCall) -> StepOutcome:
    """Every step succeeds and says its name."""
    return StepDone(outputs={"value": call.path})


def given(call: StepCall) -> StepOutcome:
    """Every condition holds."""
    assert call.given is not None
    return replace(call.given, conditions={c.id: True for c in call.outgoing if c.condition})


@dataclass
class World:
    """What outlives a worker: history, effects that happened, time."""

    plan: Plan
    script: Script = echo
    seed: int = 0
    slots: int = 4
    cut_at: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
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
    halted: list[str] = field(default_factory=list)
    """Steps that were asked to stop for themselves."""
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
    words: dict[uuid.UUID, TaskStarted | TaskResult | ChunkResult] = field(default_factory=dict)
    """What tasks have put into the inbox and no append has consumed."""
    said: dict[uuid.UUID, SignalReceived | StepAnswer] = field(default_factory=dict)
    """What people and other runs have put into the inbox."""
    answers: dict[WaitKind, StepDone | StepFailed] = field(default_factory=dict)
    """Kinds of waits that somebody answers, and what."""
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Waits that the rest of the product was told of."""
    cut_before: str | None = None
    """The worker dies as this step is about to run."""
    judge: Script = given
    """Evaluates the conditions of an outcome that came from elsewhere."""
    maps: MapBench = field(default_factory=MapBench)
    items: ItemWorlds | None = None
    """Where items of maps are runs of their own."""
    throttle: Throttle | None = None
    """What retries of all runs share."""

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
            has_inbox=bool(self.mail or self.words or self.said),
            pool="io",
            workflow_id=uuid.UUID(int=3),
            version_id=uuid.UUID(int=4),
            environment="DEVELOPMENT",
            environment_id=uuid.UUID(int=5),
            lineage_id=uuid.UUID(int=2),
            installation_id=None,
            parameters=self.parameters,
            variables={},
            created_at=START,
            deadline_at=self.deadline_at,
        )
        return replace(claim, **changes)  # type: ignore[arg-type]

    def slice(self, **changes: object) -> Outcome:
        """One worker's turn, from the durable history."""
        journal = MemoryJournal(self)
        pool = ScriptedPool(self, journal)
        around = Around(
            journal=journal, pool=pool, control=ScriptedControl(self), throttle=self.throttle
        )
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
            elif outcome.left is Left.PARKED and self.maps.chunks:
                self.work_chunk(self.chance.choice(self.maps.chunks))
            elif outcome.left is Left.PARKED and not (self.words or self.said or self.answer()):
                due_at = self.folded().due_at(after=None)
                assert due_at is not None, "the run waits for nothing"
                self.now = max(self.now, due_at)
        raise AssertionError("the run did not end")

    def answer(self) -> bool:
        """Somebody answers a wait that the outbox has told of, or sends a signal."""
        state = self.folded()
        waits = [i for i in state.waiting if state.waiting[i].kind in self.answers]
        if not waits:
            return False
        index = self.chance.choice(waits)
        wait, attempt = state.waiting[index], state.records[index].attempt
        outcome = self.answers[wait.kind]
        if wait.kind is WaitKind.SIGNAL:
            self.say(SignalReceived(id=str(self.chance.random()), name=wait.name, key=wait.key))
        else:
            assert self.asked[state.steps[index].path, attempt] == 1, "asked exactly once"
            self.say(StepAnswer(path=state.steps[index].path, attempt=attempt, outcome=outcome))
        return True

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
        progress = state.records[step.index].mapping
        gathers = progress is not None and progress.attempt == task.attempt
        outcome = (
            self.maps.gathered(task.path, progress)
            if gathers and progress is not None
            else self.script(call)
        )
        self.finish_task(task, outcome, started_at=started_at)

    def work_chunk(self, chunk: Chunk) -> None:
        """Another process works on a slice of a map's items."""
        if self.items is not None:
            self.items.tend(self, chunk)
            return
        state = self.folded()
        progress = state.records[state.step(chunk.path).index].mapping
        if progress is not None and progress.undo is not None:
            self.maps.undo(chunk, self.say)
        else:
            self.maps.work(chunk, self.say, fails_fast=fails_fast(progress))

    def finish_task(self, task: Task, outcome: StepOutcome, *, started_at: dt.datetime) -> None:
        """The item goes and the result comes, in one transaction; both through their JSON."""
        self.tasks.remove(task)
        result = TaskResult(
            path=task.path, attempt=task.attempt, started_at=started_at, outcome=outcome
        )
        self.say(read_result(json.loads(result_body(result))))

    def say(
        self, word: TaskStarted | TaskResult | ChunkResult | SignalReceived | StepAnswer
    ) -> None:
        """Into the inbox; words of waits through their JSON."""
        box: dict[uuid.UUID, Any] = self.words
        if isinstance(word, SignalReceived):
            box, word = self.said, read_signal(json.loads(json.dumps(signal_json(word))))
        elif isinstance(word, StepAnswer):
            box, word = self.said, read_answer(json.loads(json.dumps(answer_json(word))))
        box[uuid.UUID(int=self.chance.getrandbits(128))] = word

    def ran(self, path: str) -> bool:
        """Whether a step was ever attempted."""
        return any(name == path for name, _ in self.attempts)

    def point(self) -> None:
        """A place where the worker may die."""
        self.points += 1
        if self.points == self.cut_at:
            raise Cut
