"""What a slice in the simulator is given: a journal that can be cut, a pool with a script."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from apps.executions.engine.codec import Row, decode
from apps.executions.engine.fold import RunState, fold
from apps.executions.engine.history import Event, StepCompleted, StepFailed
from apps.executions.engine.plan import CONTAINER, Link
from apps.executions.engine.ports import StepCall, StepOutcome, StepStopped, StopReason
from apps.executions.engine.slice_ports import Arrival, AskKind, Batch, Inbox
from apps.executions.engine.wait_events import SignalReceived, StepAnswer, StepWaiting
from apps.workflows.graph.declaration import Effect

if TYPE_CHECKING:
    from tests.engine.simulator import World


class Cut(BaseException):
    """The worker died here."""


class MemoryJournal:
    """History in a list; what is posted is lost when the worker is cut before the flush."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.head = len(world.rows)
        self.posted: list[Batch] = []
        self.sent: Batch | None = None
        """On its way; it may have arrived."""

    def append(self, batch: Batch) -> None:
        self.flush()
        self.world.point()
        self._write(batch)
        self.world.point()

    def begin(self, batch: Batch) -> None:
        self.flush()
        self.world.point()
        self.sent = batch
        if self.world.chance.random() < 0.5:
            self._write(batch)
        self.world.point()

    def post(self, batch: Batch) -> None:
        assert self.sent is None, "the connection is taken"
        self.posted.append(batch)
        self.world.point()

    def land(self) -> None:
        sent, self.sent = self.sent, None
        if sent is not None and sent not in self.world.batches:
            self._write(sent)
            self.world.point()

    def flush(self) -> None:
        self.land()
        if self.posted:
            self.world.on_flush(len(self.posted))
        for batch in self.posted:
            self.world.point()
            self._write(batch)
        self.posted.clear()

    def inbox(self) -> Inbox:
        assert self.sent is None, "the connection is taken"
        mail = self.world.mail.pop(0) if self.world.mail else Inbox()
        words, said = self.world.words, self.world.said
        return replace(
            mail,
            ids=(*mail.ids, *words, *said),
            tasks=(*mail.tasks, *words.values()),
            signals=tuple(one for one in said.values() if isinstance(one, SignalReceived)),
            answers=tuple(one for one in said.values() if isinstance(one, StepAnswer)),
        )

    def _write(self, batch: Batch) -> None:
        assert batch.head == len(self.world.rows), "compare-and-set"
        self.world.rows.extend(batch.rows)
        self.world.batches.append(batch)
        for consumed in batch.change.consumed:
            self.world.words.pop(consumed, None)
            self.world.said.pop(consumed, None)
        for ask in batch.change.asks:
            event = read(self.world.rows[ask.seq - 1])
            if ask.kind is AskKind.WAITING:
                assert isinstance(event, StepWaiting), "an ask names its event"
                self.world.asked[event.path, event.attempt] += 1
        for task in batch.change.tasks:
            self.world.dispatched[task.path, task.attempt] += 1
            self.world.tasks.append(task)
        self.world.maps.take(batch.change, self.world.say)
        for task in tuple(self.world.tasks):
            if batch.change.recall or task.path in batch.change.halts:
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
        self.quick: list[tuple[int, StepCall, Callable[[], None]]] = []
        """To run on the slice's own thread."""
        self.reason: StopReason | None = None
        self.halted: set[int] = set()

    def submit(
        self, index: int, call: StepCall, *, light: bool, durable: Callable[[], None]
    ) -> None:
        if light and self.world.chance.random() < 0.5:
            self.quick.append((index, call, durable))
        else:
            self.launch(index, call, durable)

    def launch(self, index: int, call: StepCall, durable: Callable[[], None]) -> None:
        durable()
        self.check(call)
        if call.path == self.world.cut_before:
            self.world.cut_before = None
            raise Cut
        seconds = self.world.seconds.get(call.path, 0.001)
        self.flying[index] = (call, self.world.now + dt.timedelta(seconds=seconds))

    def check(self, call: StepCall) -> None:
        """What must be durable before a step touches the world."""
        effect = call.node_type.effect
        turn = f"{call.path}#{call.inside.index}" if call.inside else call.path
        self.world.attempts[turn, call.attempt] += 1
        durable = self.world.events()
        if effect is Effect.PURE:
            state = fold(self.world.plan, durable)
            caller = call.path.rpartition("/")[0]
            if call.path not in state.positions and "[" not in caller:
                assert self.world.plan.step(caller.partition("/")[0]).is_pure, "called too early"
                return
            awaited = self.awaited(state, call) if call.path in state.positions else ()
            for link in awaited:
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
        awaited = self.awaited(state, call)
        assert all(state.records[link.source].status.is_settled for link in awaited), (
            "an effect ran before its inputs were durable"
        )
        if effect in (Effect.UNSAFE, Effect.RECONCILABLE):
            assert state.records[step.index].status.value == "RUNNING", "no intent"

    def awaited(self, state: RunState, call: StepCall) -> tuple[Link, ...]:
        """Connections from other steps that must have settled; a join may need only some."""
        step = state.step(call.path)
        if step.needed is not None:
            return ()
        return tuple(link for link in step.incoming if link.source != CONTAINER)

    def arrivals(self, *, seconds: float) -> tuple[Arrival, ...]:
        world = self.world
        world.point()
        while self.quick:
            self.launch(*self.quick.pop(0))
        assert self.journal.sent is None, "waits for steps before it is durable what they need"
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
            return self.reason is not None or self.is_halted(call)
        return at <= until

    def is_halted(self, call: StepCall) -> bool:
        return any(self.flying[one][0] is call for one in self.halted & self.flying.keys())

    def arrive(self, index: int) -> Arrival:
        call, _ = self.flying.pop(index)
        if call.node_type.effect is not Effect.PURE:
            self.world.effects[call.idempotency_key] += 1
        outcome = self.world.patient.get(call.path) or self.world.script(call)
        if call.path in self.world.mail_after:
            self.world.mail.append(self.world.mail_after.pop(call.path))
        self.world.draining = self.world.draining or call.path == self.world.drain_after
        return Arrival(index=index, attempt=call.attempt, outcome=outcome, fraction=0.5)

    def settle(self, call: StepCall) -> StepOutcome:
        assert call.given is not None
        return self.world.judge(call)

    def stop(self, reason: StopReason) -> None:
        self.reason = reason
        self.world.stops.append(reason)

    def halt(self, index: int) -> None:
        self.halted.add(index)
        self.world.halted.append(self.flying[index][0].path)

    def abandon(self, index: int) -> None:
        call, _ = self.flying.pop(index)
        self.world.abandoned.append(call.path)


def read(row: Row) -> Event:
    """A row as the database would give it back."""
    body = json.loads(row.body) if row.body else None
    return decode(row.type, path=row.path, attempt=row.attempt, body=body)
