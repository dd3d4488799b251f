"""A process is killed between a step's question and its child, or between an end and its answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.billing.models import UsageEntry
from apps.executions.models import OpenChild, Run, RunEvent
from apps.tenancy import scope
from apps.workflows.graph import catalogue
from tests.chaos import nodes, nursery, sink
from tests.chaos.families import Families
from tests.chaos.matrix import ended
from tests.chaos.nursery import Nursery
from tests.chaos.sink import Sink
from tests.chaos.strikes import Action, Blow
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

PLACES = (
    ("start.begun", 1),
    ("start.written", 1),
    ("relay.announced", 1),
    ("relay.committed", 1),
)
"""On the way from `StepAsks` to the child's row, and from the child's end to `RunFinished`."""


@pytest.fixture
def families(acme: Tenant) -> Iterator[Families]:
    """Workflows of Acme that call each other."""
    known = dict(catalogue.INSTALLED._by_key)
    nodes.install()
    yield Families(acme)
    catalogue.INSTALLED._by_key.clear()
    catalogue.INSTALLED._by_key.update(known)


def killed_at(point: str, nth: int, families: Families, workers: Nursery, receiver: Sink) -> None:
    """One victim, one run, one rescuer."""
    tenant, parent = families.tenant, families.shapes["parent"]
    victim = workers.born(["io"], blows=[Blow(point=point, action=Action.KILL, nth=nth)])
    run_id = families.start(parent)
    assert workers.hear(victim, f"at {point}"), f"{point} was never reached: {victim.said}"
    assert workers.buried(victim)
    rescuer = workers.born(["io"])
    run = ended(tenant, run_id, seconds=60)
    assert run is not None, f"{point}: the run does not end: {workers.log_tail()}"
    with scope.tenant(tenant.id):
        (child,) = Run.objects.children(run_id)
        answers = RunEvent.objects.filter(run_id=run_id, path="sub", type="step.completed")
        assert (run.state, child.state, answers.count()) == ("SUCCEEDED", "SUCCEEDED", 1), point
        assert not OpenChild.objects.exists(), point
        assert UsageEntry.objects.filter(run_id=child.pk).count() == 1, point
    assert receiver.done(str(run_id)) == {"a", "z"}, point
    assert receiver.done(str(child.pk)) == {"work"}, point
    workers.kill(rescuer)
    workers.buried(rescuer)


@pytest.mark.parametrize("point", ["start.begun", "start.written"])
def test_there_is_one_child_whatever_a_start_meets(families: Families, point: str) -> None:
    """An exception, or a reply that never comes: who asked asks again."""
    tenant, parent = families.tenant, families.shapes["parent"]
    with sink.opened() as receiver, nursery.opened(receiver) as workers:
        for action in (Action.RAISE, Action.LOST):
            victim = workers.born(["io"], blows=[Blow(point=point, action=action)])
            run_id = families.start(parent)
            assert workers.hear(victim, f"at {point}"), f"{point} was never reached"
            run = ended(tenant, run_id, seconds=60)
            assert run is not None, f"{point}, {action}: the run does not end"
            with scope.tenant(tenant.id):
                states = [child.state for child in Run.objects.children(run_id)]
            assert (run.state, states) == ("SUCCEEDED", ["SUCCEEDED"]), f"{point}, {action}"
            workers.kill(victim)
            workers.buried(victim)
        assert receiver.doubled() == []


STILL = ("start.written", "relay.announced")
"""Inside the transactions of a tick: a parent's run, its lane and a quota are held."""


@pytest.mark.parametrize("point", STILL)
def test_who_stands_still_between_two_runs_holds_up_nobody(families: Families, point: str) -> None:
    """It never comes back, and nobody else's limit ends its transaction."""
    tenant, parent = families.tenant, families.shapes["parent"]
    with sink.opened() as receiver, nursery.opened(receiver) as workers:
        blows = [Blow(point=point, action=Action.STOP)]
        victim = workers.born(["io"], blows=blows, patient=True)
        run_id = families.start(parent)
        assert workers.hear(victim, f"at {point}"), f"{point} was never reached: {victim.said}"
        rescuer = workers.born(["io"])
        runs = [run_id, families.start(parent)]
        for run in (ended(tenant, one, seconds=60) for one in runs):
            assert run is not None, f"{point}: a run does not end: {workers.log_tail()}"
            assert run.state == "SUCCEEDED", point
        for worker in (victim, rescuer):
            workers.kill(worker)
            workers.buried(worker)
        assert receiver.doubled() == []


def test_there_is_one_child_and_one_answer_whoever_is_killed(families: Families) -> None:
    with sink.opened() as receiver, nursery.opened(receiver) as workers:
        for point, nth in PLACES:
            killed_at(point, nth, families, workers, receiver)
        assert receiver.doubled() == []
