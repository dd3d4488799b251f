"""Property: wherever a worker dies, waits end as if nobody had, and each is asked for once."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.executions.engine.pausing import PauseRequest
from apps.executions.engine.ports import StepCall, StepDone, StepOutcome, StepWaits
from apps.executions.engine.slice_ports import Inbox
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.declaration import Wait, WaitKind
from tests.engine.cases import plan_of, statuses, types
from tests.engine.simulator import World
from tests.examples import examples
from tests.factories.graphs import a, to

ANSWERS: Any = {kind: StepDone(outputs={"value": 1, "payload": 1}) for kind in WaitKind}
WAITS = {
    "timer": Wait(kind=WaitKind.TIMER, seconds=90.0, due={"value": 1}),
    "short": Wait(kind=WaitKind.TIMER, seconds=0.4, due={"value": 1}),
    "signal": Wait(kind=WaitKind.SIGNAL, name="go", seconds=3600.0, due={"timeout": 1}),
    "approval": Wait(kind=WaitKind.APPROVAL),
    "child": Wait(kind=WaitKind.CHILD),
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Any], list[Any], dict[str, str | None]]:
    """A random graph, and what each of its steps waits for, if it does."""
    size = draw(st.integers(1, 6))
    nodes, links, kinds = [], [], {}
    for i in range(size):
        kind = draw(st.sampled_from(["pure", "keyed", "unsafe"]))
        pool = {"resources": {"pool": "cpu"}} if draw(st.integers(0, 3)) == 0 else {}
        nodes.append(a(f"n{i}", kind, **pool))
        kinds[f"n{i}"] = draw(st.sampled_from([None, *WAITS]))
        links += [to(f"n{j}.value", f"n{i}.value") for j in range(i) if draw(st.booleans())]
    return nodes, links, kinds


def world_of(case: tuple[list[Any], list[Any], dict[str, str | None]], **fields: Any) -> World:
    nodes, links, kinds = case

    def script(call: StepCall) -> StepOutcome:
        name = kinds[call.path]
        return StepDone(outputs={"value": 1}) if name is None else StepWaits(wait=WAITS[name])

    answered: dict[WaitKind, Any] = {
        kind: ANSWERS[kind] for kind in WaitKind if kind is not WaitKind.TIMER
    }
    return World(plan_of(nodes, links), script=script, answers=answered, **fields)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.integers(0, 2**16), st.integers(1, 60))
def test_a_death_changes_nothing(case: Any, seed: int, cut_at: int) -> None:
    calm = world_of(case, seed=seed)
    cut = world_of(case, seed=seed, cut_at=cut_at)
    cut.finish()
    if "step.failed" in " ".join(types(cut)):
        # The worker died inside an effect that is not repeated.
        assert cut.folded().status is RunStatus.FAILED
        return
    calm.finish()
    assert statuses(cut).keys() == statuses(calm).keys()
    assert cut.folded().status is RunStatus.SUCCEEDED
    assert all(count == 1 for count in cut.asked.values())


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.integers(0, 2**16), st.integers(1, 5))
def test_a_pause_anywhere_loses_nothing(case: Any, seed: int, path: int) -> None:
    pause = Inbox(pause=PauseRequest(is_wanted=True))
    world = world_of(case, seed=seed, mail_after={f"n{path}": pause})
    for _ in range(100):
        world.slice()
        if world.folded().status.is_terminal:
            break
        if world.folded().is_paused:
            started = world.attempts.total()
            world.slice()
            assert world.attempts.total() == started
            world.mail.append(Inbox(pause=PauseRequest(is_wanted=False)))
        elif world.tasks:
            world.work(world.tasks[0])
        elif not (world.words or world.said or world.answer()):
            due_at = world.folded().due_at(after=None)
            assert due_at is not None
            world.now = max(world.now, due_at)
    assert world.folded().status is RunStatus.SUCCEEDED
