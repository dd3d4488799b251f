"""Steps that share a key: who starts, who waits in the slice, who parks, and what cannot begin."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from apps.executions.engine.keys import bound_of, keyring_of
from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.engine.slice import Slice
from apps.executions.engine.slice_ports import Around, Busy, Left, Outcome
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.document import Concurrency
from tests.engine.cases import failing, only, plan_of, types
from tests.engine.doubles import Cut, MemoryJournal, ScriptedControl, ScriptedPool
from tests.engine.simulator import World
from tests.factories.graphs import a, to

ONE = {"limit": 1}


@dataclass
class Gates:
    """Says what it was told to say, path by path, then lets in."""

    answers: dict[str, list[Busy | StepFailed]] = field(default_factory=dict)
    asked: list[tuple[str, int, bool]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def enter(
        self, call: StepCall, bound: Concurrency, *, shared: bool
    ) -> Busy | StepFailed | None:
        self.asked.append((call.path, bound.limit, shared))
        said = self.answers.get(call.path)
        return said.pop(0) if said else None

    def leave(self, path: str) -> None:
        self.gone.append(path)


def turn(world: World, gates: Gates) -> Outcome:
    journal = MemoryJournal(world)
    pool = ScriptedPool(world, journal)
    around = Around(journal=journal, pool=pool, control=ScriptedControl(world), keys=gates)
    outcome = Slice(world.claim(), world.folded(), around).run()
    journal.flush()
    return outcome


def keyed(*more: dict[str, Any], links: Any = (), **configuration: Any) -> World:
    return World(plan_of([a("n", "keyed", concurrency=ONE), *more], links, **configuration))


def test_a_step_takes_its_place_once_and_gives_it_back() -> None:
    world, gates = keyed(a("m")), Gates()
    assert turn(world, gates).state.status is RunStatus.SUCCEEDED
    assert gates.asked == [("n", 1, False)]
    assert gates.gone == ["n"]


def test_a_short_wait_stays_in_the_slice() -> None:
    world, gates = keyed(), Gates({"n": [Busy(seconds=0.5), Busy(seconds=0.5)]})
    assert turn(world, gates).state.status is RunStatus.SUCCEEDED
    assert len(gates.asked) == 3
    assert types(world).count("step.completed n") == 1


def test_a_longer_one_parks_the_run_without_a_word_in_its_history() -> None:
    world, gates = keyed(), Gates({"n": [Busy(seconds=2.0)]})
    outcome = turn(world, gates)
    assert outcome.left is Left.PARKED
    assert types(world) == ["run.queued", "run.started"]
    assert world.batches[-1].change.wake_at == world.now + dt.timedelta(seconds=2)
    world.now += dt.timedelta(seconds=2)
    assert turn(world, gates).state.status is RunStatus.SUCCEEDED
    assert types(world)[-2:] == ["step.completed n", "run.succeeded"]


def test_a_retry_that_is_due_may_have_to_wait_as_well() -> None:
    calls = {"n": 0}

    def script(call: StepCall) -> Any:
        calls["n"] += 1
        if call.attempt == 1:
            return StepFailed(code="NO", message="no", retryable=True)
        return StepFailed(code="OVER", message="no")

    retry = {"maxAttempts": 2, "backoffSeconds": 0.1, "multiplier": 1}
    world = World(plan_of([a("n", "keyed", concurrency=ONE, retry=retry)]), script)
    gates = Gates()
    gates.answers = {}
    entered = gates.enter

    def enter(call: StepCall, bound: Concurrency, *, shared: bool) -> Busy | StepFailed | None:
        if call.attempt == 2 and len(gates.asked) < 3:
            gates.asked.append((call.path, bound.limit, shared))
            return Busy(seconds=0.3)
        return entered(call, bound, shared=shared)

    gates.enter = enter  # type: ignore[method-assign]
    assert turn(world, gates).state.status is RunStatus.FAILED
    assert calls == {"n": 2}
    assert gates.gone == ["n", "n"]


def test_a_key_without_a_value_fails_the_step() -> None:
    failure = StepFailed(code="EXPRESSION_FAILED", message="no such name")
    world, gates = keyed(), Gates({"n": [failure]})
    state = turn(world, gates).state
    assert state.status is RunStatus.FAILED
    assert state.error is not None
    assert state.error.code == "EXPRESSION_FAILED"
    assert world.attempts == {}, "it did not begin"


def test_a_step_that_was_cut_off_takes_its_place_whatever_the_limit() -> None:
    world = World(plan_of([a("n", "reconcilable", concurrency=ONE)]), cut_before="n")
    gates = Gates()
    try:
        turn(world, gates)
    except Cut:
        world.cut_before = None
    assert turn(world, gates).state.status is RunStatus.SUCCEEDED
    (_, first, _), (_, second, _) = gates.asked
    assert first == 1 < second


def test_the_workflows_bound_is_for_what_touches_the_world() -> None:
    world, gates = (
        World(
            plan_of(
                [a("pure"), a("n", "keyed"), a("own", "keyed", concurrency={"limit": 3})],
                [to("pure", "n")],
                concurrency={"limit": 2},
            )
        ),
        Gates(),
    )
    assert turn(world, gates).state.status is RunStatus.SUCCEEDED
    assert sorted(gates.asked) == [("n", 2, True), ("own", 3, False)]


def test_most_workflows_have_no_keyring() -> None:
    world = World(plan_of([a("n", "keyed")]))
    owner = Slice(
        world.claim(),
        world.folded(),
        Around(
            journal=MemoryJournal(world),
            pool=ScriptedPool(world, MemoryJournal(world)),
            control=ScriptedControl(world),
            keys=Gates(),
        ),
    )
    assert owner.keyring is None
    assert keyring_of(owner, None) is None
    assert bound_of(owner.state.steps[0], {}) is None


def test_a_join_cancels_whom_it_spares_while_it_waits_for_its_key() -> None:
    links = [to("n", "j.branches"), to("m", "j.branches")]
    join = {**a("j"), "type": "control.join", "configuration": {"needed": 1}}
    world = World(plan_of([a("n", "keyed", concurrency=ONE), a("m"), join], links))
    world.seconds = {"m": 0.2}
    state = turn(world, Gates({"n": [Busy(seconds=60.0)]})).state
    assert state.status is RunStatus.SUCCEEDED
    assert "step.canceled n" in types(world)


def test_who_waits_for_a_key_may_be_told_to_look_again() -> None:
    world = keyed(a("m", retry={"maxAttempts": 2, "backoffSeconds": 60}))
    world.script = only("m", failing(times=1, retryable=True))
    outcome = turn(world, Gates(answers={"n": [Busy(seconds=90)]}))
    state, now = outcome.state, world.now
    retried = state.retrying[state.step("m").index]
    state.look_again(at=now)
    assert state.retrying == {state.step("n").index: now, state.step("m").index: retried}
