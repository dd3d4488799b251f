"""A deadline that is near: its timer may have fired while the run was held, so it is waited for."""

from __future__ import annotations

import datetime as dt

from apps.executions.engine.slice_ports import Left
from apps.executions.engine.state import RunStatus
from apps.workflows.graph.waits import WaitKind
from tests.engine.cases import failing, only, plan_of, statuses
from tests.engine.rescues import undo
from tests.engine.simulator import START, World
from tests.engine.test_waits import waits
from tests.factories.graphs import a

NEAR = dt.timedelta(milliseconds=400)


def test_a_wait_without_an_end_does_not_park_past_the_runs_own() -> None:
    script = waits(WaitKind.SIGNAL, name="go")
    world = World(plan_of([a("w")]), script=script, deadline_at=START + NEAR)
    outcome = world.slice()
    assert (outcome.left, outcome.state.status) == (Left.FINISHED, RunStatus.TIMED_OUT)


def test_one_that_is_far_leaves_it_to_the_timer() -> None:
    script = waits(WaitKind.SIGNAL, name="go")
    world = World(plan_of([a("w")]), script=script, deadline_at=START + dt.timedelta(hours=1))
    assert world.slice().left is Left.PARKED


def test_a_held_run_waits_for_its_deadline_too() -> None:
    world = World(plan_of([a("w")]), deadline_at=START + NEAR)
    outcome = world.slice(is_held=True)
    assert (outcome.left, outcome.state.status) == (Left.FINISHED, RunStatus.TIMED_OUT)


def test_a_deadline_that_counts_no_more_does_not_keep_a_slot() -> None:
    retry = {"maxAttempts": 3, "backoffSeconds": 600}
    nodes = [
        a("charge", "keyed", compensation="refund"),
        a("refund", "keyed", retry=retry),
        a("x", "keyed", onError=undo()),
    ]
    scripts = {"x": failing(), "refund": failing("SHUT", retryable=True, times=1)}
    world = World(
        plan_of(nodes),
        script=lambda call: only(call.path, scripts.get(call.node.id, failing(times=0)))(call),
        seconds={"x": 0.2},
        deadline_at=START + dt.timedelta(seconds=1),
    )
    outcome = world.slice()
    assert statuses(world)["charge/refund"] == "RETRY_WAIT"
    assert outcome.left is Left.PARKED, "the retry is minutes ahead"
