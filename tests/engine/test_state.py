"""The table of transitions, and that nothing steps outside it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from apps.executions.engine.fold import fold
from apps.executions.engine.history import Event, RunEnded, RunQueued, RunStarted
from apps.executions.engine.plan import compile_plan
from apps.executions.engine.state import (
    RUN_TRANSITIONS,
    SETTLED_STEPS,
    STEP_TRANSITIONS,
    TERMINAL_RUNS,
    IllegalTransition,
    RunStatus,
    StepStatus,
    moved_run,
    moved_step,
)
from tests.factories.graphs import CATALOGUE, a, document


def test_what_is_terminal_leads_nowhere() -> None:
    assert {s for s, to in RUN_TRANSITIONS.items() if not to} == TERMINAL_RUNS
    assert {s for s, to in STEP_TRANSITIONS.items() if not to} <= SETTLED_STEPS
    assert all(status.is_terminal for status in TERMINAL_RUNS)
    assert not RunStatus.RUNNING.is_terminal


def test_states_that_are_not_built_have_no_row_and_cannot_be_entered() -> None:
    reached = {state for targets in RUN_TRANSITIONS.values() for state in targets}
    later = {RunStatus.WAITING}
    assert set(RunStatus) - set(RUN_TRANSITIONS) == later
    assert not reached & later


def test_every_move_is_in_the_table_or_raises() -> None:
    for run in RunStatus:
        for target in RunStatus:
            if target in RUN_TRANSITIONS.get(run, ()):
                assert moved_run(run, to=target) is target
            else:
                with pytest.raises(IllegalTransition):
                    moved_run(run, to=target)
    for step in StepStatus:
        for goal in StepStatus:
            if goal in STEP_TRANSITIONS.get(step, ()):
                assert moved_step(step, to=goal) is goal
            else:
                with pytest.raises(IllegalTransition):
                    moved_step(step, to=goal)


def test_a_history_that_cannot_be_is_not_folded() -> None:
    plan = compile_plan(document([a("a")]), CATALOGUE)
    events: list[Event] = [RunQueued(trigger="API"), RunStarted(), RunStarted()]
    with pytest.raises(IllegalTransition):
        fold(plan, events)
    ended = RunEnded(status=RunStatus.SUCCEEDED)
    with pytest.raises(IllegalTransition):
        fold(plan, [RunQueued(trigger="API"), RunStarted(), ended, ended])


def test_the_engine_thinks_without_a_framework() -> None:
    code = (
        "import sys, apps.executions.engine.slice\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(' '.join(loaded & {'django', 'psycopg', 'redis', 'dramatiq', 'channels'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
