"""How many retries a run and a workflow may spend, and what becomes of the one too many."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.executions.engine.advice import advice
from apps.executions.engine.asking import again, given_up
from apps.executions.engine.history import StepFailed as FailedEvent
from apps.executions.engine.ports import StepFailed
from apps.executions.engine.retry_budget import (
    BURST,
    PER_SECOND,
    RETRY_BUDGET_SPENT,
    SHARE,
    TokenBucket,
    cause_of,
)
from apps.executions.engine.state import RunStatus
from apps.executions.engine.wait_events import StepAnswer
from apps.workflows.graph.waits import WaitKind
from tests.engine.cases import failing, plan_of, statuses, types
from tests.engine.simulator import START, Script, World
from tests.factories.graphs import a

RETRY = {"maxAttempts": 5, "backoffSeconds": 0}


def broken(code: str = "HTTP_503") -> Script:
    return failing(code, retryable=True)


def world_of(*nodes: dict[str, Any], retries: int | None = None, **fields: Any) -> World:
    limits = {} if retries is None else {"limits": {"retries": retries}}
    return World(plan_of(list(nodes), [], **limits), script=broken(), **fields)


def final(world: World) -> dict[str, FailedEvent]:
    return {one.path: one for one in world.events() if isinstance(one, FailedEvent)}


class Only:
    """So many retries for all runs of the workflow."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, now: dt.datetime) -> bool:
        assert now >= START
        self.left -= 1
        return self.left >= 0


def test_a_run_spends_its_retries_and_says_so() -> None:
    rules = [{"do": "continue"}]
    nodes = [a(name, retry=RETRY, onError=rules) for name in "abc"]
    world = world_of(*nodes, retries=6)
    assert world.finish().status is RunStatus.PARTIAL
    told = types(world)
    assert sum(one.startswith("step.attempt_failed") for one in told) == 6
    codes = {path: one.failure.code for path, one in final(world).items()}
    assert max(codes.values()) == RETRY_BUDGET_SPENT
    spent = next(one for one in final(world).values() if one.failure.code == RETRY_BUDGET_SPENT)
    assert spent.failure.details == {"cause": "HTTP_503", "budget": "run"}
    assert "HTTP_503: no" in spent.failure.message
    assert "6 retries are spent (limits.retries)" in spent.failure.message
    assert "budget" in str(advice(RETRY_BUDGET_SPENT))


def test_none_at_all() -> None:
    world = world_of(a("a", retry=RETRY), retries=0)
    assert world.finish().status is RunStatus.FAILED
    assert world.attempts == {("a", 1): 1}


def test_without_a_word_in_the_document_there_are_a_thousand() -> None:
    assert plan_of([a("a")]).retries == 1_000


def test_the_count_is_history_and_outlives_a_worker() -> None:
    slow = {"maxAttempts": 9, "backoffSeconds": 30}
    world = world_of(a("a", retry=slow), retries=3)
    state = world.finish()  # parks before each retry: every turn folds anew
    assert (state.retries, state.records[0].attempt) == (3, 4)


def test_retries_of_a_workflow_are_shared() -> None:
    bucket = Only(3)
    for expected in (4, 1, 1):
        world = world_of(a("a", retry=RETRY), throttle=bucket)
        state = world.finish()
        assert state.records[0].attempt == expected
        assert state.error is not None
        assert state.error.details["budget"] == "workflow"
        assert "a fifth" in state.error.message


@pytest.mark.parametrize("match", [{"codes": ["HTTP_5*"]}, {"codes": [RETRY_BUDGET_SPENT]}])
def test_rules_go_by_what_happened_or_by_the_budget(match: dict[str, Any]) -> None:
    rules = [{"match": {"codes": ["OTHER"]}, "do": "fail"}, {"match": match, "do": "continue"}]
    world = world_of(a("a", retry=RETRY, onError=rules), retries=1)
    assert world.finish().status is RunStatus.PARTIAL


def test_a_doubt_costs_no_retry() -> None:
    plan = plan_of([a("a", "unsafe", retry=RETRY)], limits={"retries": 1})
    world = World(plan, script=failing("NODE_CRASHED", retryable=True))
    world.slice()
    (wait,) = world.folded().waiting.values()
    assert wait.kind is WaitKind.DOUBT
    assert wait.payload["failure"]["code"] == "NODE_CRASHED"
    assert statuses(world) == {"a": "IN_DOUBT"}


def test_rules_after_a_person_go_by_what_happened_too() -> None:
    rules = [{"do": "escalate"}, {"match": {"codes": ["HTTP_503"]}, "do": "continue"}]
    world = world_of(a("a", retry=RETRY, onError=rules), retries=0)
    world.slice()
    (wait,) = world.folded().waiting.values()
    world.say(StepAnswer(path="a", attempt=1, outcome=given_up(wait, message="No.")))
    assert world.finish().status is RunStatus.PARTIAL


def test_a_person_may_try_again_when_all_is_spent() -> None:
    plan = plan_of([a("a", retry=RETRY, onError=[{"do": "escalate"}])])
    world = World(plan, script=failing("HTTP_503", times=1, retryable=True), throttle=Only(0))
    world.slice()
    (wait,) = world.folded().waiting.values()
    world.say(StepAnswer(path="a", attempt=1, outcome=again(wait)))
    assert world.finish().status is RunStatus.SUCCEEDED


def test_the_code_behind_a_spent_budget() -> None:
    assert cause_of(StepFailed(code="A", message="")) == "A"
    bare = StepFailed(code=RETRY_BUDGET_SPENT, message="")
    assert cause_of(bare) == RETRY_BUDGET_SPENT
    assert cause_of(StepFailed(code=RETRY_BUDGET_SPENT, message="", details={"cause": "B"})) == "B"


@given(
    st.lists(
        st.tuples(st.floats(-5, 60), st.integers(0, 500), st.integers(0, 300)),
        max_size=20,
    )
)
def test_retries_are_a_share_of_attempts_and_of_time(
    turns: list[tuple[float, int, int]],
) -> None:
    bucket, now = TokenBucket(filled_at=START), START
    latest, taken, attempts = START, 0, 0
    for seconds, ended, wanted in turns:
        now += dt.timedelta(seconds=seconds)
        latest = max(latest, now)
        bucket.earn(ended)
        attempts += ended
        taken += sum(bucket.take(now) for _ in range(wanted))
        gone = (latest - START).total_seconds()
        assert taken <= BURST + attempts * SHARE + gone * PER_SECOND + 1e-6


def test_an_idle_workflow_has_its_burst_and_no_more() -> None:
    bucket = TokenBucket(filled_at=START)
    later = START + dt.timedelta(days=9)
    assert sum(bucket.take(later) for _ in range(BURST + 50)) == BURST
    bucket.earn(10)
    assert [bucket.take(later) for _ in range(3)] == [True, True, False]
