"""The engine as a state machine on the real database: any order of rules, all invariants each time.

The slices are the product's, their journal is PostgreSQL; only steps and time are scripted.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.executions.engine.plan import compile_plan
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepRepeats,
    StepWaits,
)
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import Around, Batch, Claim, Inbox, LeaseLost
from apps.executions.engine.wait_events import SignalReceived, StepAnswer, answer_json, signal_json
from apps.executions.store import appends, statements
from apps.executions.store.connections import Connection
from apps.executions.verify import verify_tenant
from apps.kit.ids import uuid7
from apps.workflows.graph.document import parse
from apps.workflows.graph.waits import Wait, WaitKind
from tests.chaos.cells import line
from tests.chaos.items import said
from tests.chaos.matrix import begin
from tests.engine.doubles import Cut, MemoryJournal, ScriptedControl, ScriptedPool
from tests.engine.simulator import World
from tests.factories.graphs import CATALOGUE, raw, to
from tests.factories.tenancy import Tenant

LEASE: Final = 3600.0
TURNS: Final = 400
_AGAIN: Final[dict[str, Any]] = {"retry": {"maxAttempts": 3, "backoffSeconds": 30}}
DOCUMENTS: Final = {
    "chain": line(said("a"), said("b", "keyed"), said("c", "reconcilable"), said("d")),
    "diamond": raw(
        [said("a", "keyed"), said("b"), said("c", "transactional"), said("d", "keyed")],
        [to("a", "b"), to("a", "c"), to("b", "d.all"), to("c", "d.all")],
    ),
    "retry": line(said("a"), said("b", "keyed", {"failures": 1}, **_AGAIN), said("c")),
    "fails": line(said("a", "keyed"), said("b", say={"failures": 9}), said("c", "keyed")),
    "doubt": line(said("a"), said("b", "unsafe"), said("c", "keyed")),
    "naps": line(said("a", "keyed"), said("b", say={"wait": 60.0}), said("c", "keyed")),
    "hears": raw(
        [said("a"), said("b", say={"signal": "go"}), said("c", "keyed")],
        [to("a", "b"), to("b.payload", "c")],
    ),
    "asks": line(said("a", "keyed"), said("b", say={"asks": True}), said("c", "keyed")),
    "loops": raw(
        [
            said("a", "keyed"),
            said("l", "box", {"times": 2}),
            said("x", "keyed", parentId="l"),
            said("y", "reconcilable", parentId="l"),
            said("z", "keyed"),
        ],
        [to("a", "l"), to("l.item", "x"), to("x", "y"), to("y", "l.next"), to("l", "z")],
    ),
    "joins": raw(
        [
            said("a", "keyed"),
            said("b", "keyed", {"failures": 1}, **_AGAIN),
            said("c", say={"asks": True}),
            {"id": "j", "type": "control.join", "configuration": {"needed": 1}},
            said("z", "keyed"),
        ],
        [*(to(name, "j.branches") for name in "abc"), to("j", "z")],
    ),
    "replaced": raw(
        [
            said("a", "keyed"),
            said("b", say={"failures": 9}, onError=[{"do": "fallback", "with": {"node": "s"}}]),
            said("s", "keyed"),
            said("c", "keyed"),
        ],
        [to("a", "b"), to("b", "c")],
    ),
    "undone": raw(
        [
            said("a", "keyed", compensation="u"),
            said("b", "transactional", compensation="u"),
            said("c", say={"failures": 9}, onError=[{"do": "compensate"}]),
            said("u", "keyed"),
        ],
        [to("a", "b"), to("b", "c")],
    ),
}
_ENDS: Final = {"fails": {"FAILED"}, "doubt": {"SUCCEEDED", "FAILED"}, "undone": {"FAILED"}}
_OWED: Final = {"loops": {"a", "x", "y", "z"}, "joins": {"z"}, "replaced": {"a", "s", "c"}}
"""Effects of a run that succeeded, where the drawing does not say it."""


def answer(call: StepCall) -> StepOutcome:
    """As the node says."""
    if call.given is not None:
        return call.given
    told = call.node.configuration.get("say") or {}
    if call.attempt <= told.get("failures", 0):
        return StepFailed(code="NO", message="not yet", retryable=True)
    index = call.inside.index + 1 if call.inside else 0
    if index < told.get("times", 0):
        return StepRepeats(values={"item": index, "index": index})
    if told.get("asks"):
        return StepWaits(wait=Wait(kind=WaitKind.APPROVAL))
    if told.get("wait"):
        due = {"value": call.path}
        return StepWaits(wait=Wait(kind=WaitKind.TIMER, seconds=told["wait"], due=due))
    if told.get("signal"):
        return StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name=told["signal"]))
    return StepDone(outputs={"value": call.path})


class TableJournal(MemoryJournal):
    """The simulator's cuts around real appends; `pending` is what a cut worker may still send."""

    def __init__(self, world: World, claim: Claim, connection: Connection) -> None:
        super().__init__(world)
        self.claim = claim
        self.connection = connection
        self.pending: Batch | None = None

    def append(self, batch: Batch) -> None:
        if not self.posted:
            self.pending = batch
        super().append(batch)

    def inbox(self) -> Inbox:
        return statements.inbox(self.connection, self.claim)

    def _write(self, batch: Batch) -> None:
        self.pending = None
        if not appends.append(self.connection, self.claim, batch):
            raise LeaseLost
        self.world.rows.extend(batch.rows)
        self.world.batches.append(batch)


class Engine(RuleBasedStateMachine):
    """Runs of one tenant, workers that come and go, words from outside, time."""

    tenant: Tenant
    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self.pool = f"machine-{uuid.uuid4().hex[:8]}"
        self.worlds: dict[uuid.UUID, tuple[str, World]] = {}
        self.workers: list[uuid.UUID] = []
        self.zombies: list[tuple[Claim, Batch]] = []
        self.canceled: set[uuid.UUID] = set()
        self.deaths: set[uuid.UUID] = set()

    # --- rules

    @rule(name=st.sampled_from(sorted(DOCUMENTS)), seed=st.integers(0, 9))
    def start(self, name: str, seed: int) -> None:
        run_id = begin(self.tenant, uuid7(), pool=self.pool)
        plan = compile_plan(parse(DOCUMENTS[name]), CATALOGUE)
        world = World(plan, script=answer, judge=answer, seed=seed, now=dt.datetime.now(dt.UTC))
        self.worlds[run_id] = (name, world)

    @precondition(lambda self: self.worlds)
    @rule(cut_at=st.integers(1, 12) | st.none())
    def turn(self, cut_at: int | None) -> None:
        """A worker claims a run and works on it, to the end of its slice or of its life."""
        worker_id = uuid.uuid4()
        statements.register(
            self.connection,
            worker_id=worker_id,
            host="here",
            pid=1,
            pools=[self.pool],
            slots=1,
            lease_seconds=LEASE,
        )
        self.workers.append(worker_id)
        for claim in self._claim(worker_id):
            self._turn(claim, cut_at)

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 99))
    def zombie_appends(self, which: int) -> None:
        """Whoever was cut sends what it had: accepted only as long as the run is still its own.

        Whether there is one is no precondition: the database's clock has a say in who claims what,
        and what Hypothesis draws must not depend on it.
        """
        if not self.zombies:
            return
        claim, batch = self.zombies.pop(which % len(self.zombies))
        head, fence = statements.head(self.connection, claim)
        is_owner = fence == claim.token and head == batch.head
        held = appends.append(self.connection, claim, batch)
        assert held is is_owner, "the fence decides"
        if held:
            self.worlds[claim.run_id][1].rows.extend(batch.rows)

    @precondition(lambda self: self.workers)
    @rule(which=st.integers(0, 99))
    def worker_dies(self, which: int) -> None:
        """The supervisor saw it, or its lease ran out; the reaper comes by."""
        worker_id = self.workers.pop(which % len(self.workers))
        self.connection.execute("SELECT engine_worker_died_1(%s)", (worker_id,))
        statements.reap(self.connection, lease_seconds=LEASE)

    @precondition(lambda self: self.worlds)
    @rule()
    def time_passes(self) -> None:
        """The soonest timer of the pool is due."""
        row = self.connection.execute(
            "SELECT id, run_id, fire_at FROM timer WHERE pool = %s ORDER BY fire_at LIMIT 1",
            (self.pool,),
        ).fetchone()
        if row is not None:
            world = self.worlds[row[1]][1]
            world.now = max(world.now, row[2])
            self.connection.execute(
                "UPDATE timer SET fire_at = clock_timestamp() WHERE id = %s", (row[0],)
            )
            statements.fire_timers(self.connection)

    @precondition(lambda self: self.worlds)
    @rule(which=st.integers(0, 99), kind=st.sampled_from(["cancel", "signal", "pause", "resume"]))
    def somebody_speaks(self, which: int, kind: str) -> None:
        """To any run, ended or not."""
        run_id = list(self.worlds)[which % len(self.worlds)]
        if kind == "cancel":
            self.canceled.add(run_id)
        self._tell(run_id, kind)

    @precondition(lambda self: self.worlds)
    @rule(which=st.integers(0, 99))
    def somebody_answers(self, which: int) -> None:
        """What a step of the run waits for, if one does."""
        self._answer(list(self.worlds)[which % len(self.worlds)])

    @invariant()
    def nothing_is_violated(self) -> None:
        assert verify_tenant(self.tenant.id) == []

    def teardown(self) -> None:
        """Everybody dies, others come, time passes, signals are sent: every run ends."""
        for _ in range(TURNS):
            while self.workers:
                self.worker_dies(0)
            open_runs = self._open()
            if not open_runs:
                break
            heads = [len(world.rows) for _, world in self.worlds.values()]
            self.turn(None)
            if heads == [len(world.rows) for _, world in self.worlds.values()]:
                self.time_passes()
                for run_id in open_runs:
                    self._tell(run_id, "signal")
                    self._tell(run_id, "resume")
                    self._answer(run_id)
        assert not self._open(), "a run does not end"
        while self.zombies:
            self.zombie_appends(0)
        self.nothing_is_violated()
        for run_id, (name, world) in self.worlds.items():
            self._judge(run_id, name, world)

    # --- how

    def _claim(self, worker_id: uuid.UUID) -> list[Claim]:
        return statements.claim(
            self.connection, worker_id=worker_id, pool=self.pool, want=1, charges={}
        )

    def _turn(self, claim: Claim, cut_at: int | None) -> None:
        world = self.worlds[claim.run_id][1]
        world.points, world.cut_at = 0, cut_at
        journal = TableJournal(world, claim, self.connection)
        pool = ScriptedPool(world, journal)
        around = Around(journal=journal, pool=pool, control=ScriptedControl(world))
        try:
            Slice(claim, world.folded(), around).run()
            journal.flush()
        except Cut:
            self.deaths.add(claim.run_id)
            if journal.pending is not None:
                self.zombies.append((claim, journal.pending))
        except LeaseLost:
            self._release(claim)

    def _release(self, claim: Claim) -> None:
        statements.give_up(self.connection, item_id=claim.item_id, token=claim.token, broken=False)

    def _tell(self, run_id: uuid.UUID, kind: str) -> None:
        self._put(run_id, kind, signal_json(SignalReceived(id=f"{uuid.uuid4()}", name="go")))

    def _put(self, run_id: uuid.UUID, kind: str, body: Mapping[str, Any]) -> None:
        self.connection.execute(
            "SELECT executions_tell_1(%s, %s, %s, %s, %s::jsonb)",
            (self.tenant.id, run_id, uuid.uuid4(), kind, json.dumps(body)),
        )

    def _answer(self, run_id: uuid.UUID) -> None:
        state = self.worlds[run_id][1].folded()
        for index, wait in state.waiting.items():
            if wait.kind is WaitKind.APPROVAL:
                path, attempt = state.steps[index].path, state.records[index].attempt
                outcome = StepDone(outputs={"value": 1})
                said = answer_json(StepAnswer(path=path, attempt=attempt, outcome=outcome))
                self._put(run_id, "answer", said)

    def _states(self) -> dict[uuid.UUID, tuple[str, bool, str | None]]:
        """(state, whether it has ended, the code of its error), in the tenant's scope."""
        with self.connection.transaction():
            self.connection.execute(
                "SELECT set_config('app.tenant', %s, true)", (str(self.tenant.id),)
            )
            rows = self.connection.execute(
                "SELECT id, state, finished_at IS NOT NULL, error ->> 'code' FROM run"
                " WHERE id = ANY (%s)",
                (list(self.worlds),),
            ).fetchall()
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def _open(self) -> list[uuid.UUID]:
        return [run_id for run_id, (_, ended, _) in self._states().items() if not ended]

    def _judge(self, run_id: uuid.UUID, name: str, world: World) -> None:
        state, _, code = self._states()[run_id]
        allowed = set(_ENDS.get(name, {"SUCCEEDED"}))
        if run_id in self.canceled:
            allowed.add("CANCELED")
        if run_id in self.deaths and code in ("WORKER_LOST", "EFFECT_IN_DOUBT"):
            allowed.add("FAILED")
        assert state in allowed, f"{name} ended {state} {code}"
        drawn = {step.path for step in world.plan.steps if not step.is_pure}
        effects = _OWED.get(name, drawn)
        done = {key.rsplit("/", 3)[1] for key in world.effects}
        assert state != "SUCCEEDED" or effects <= done, f"{name} never did {effects - done}"
        unsafe = [k for k in world.effects if k.rsplit("/", 3)[1] == "b" and name == "doubt"]
        assert all(world.effects[key] == 1 for key in unsafe), "an unsafe effect was doubled"
