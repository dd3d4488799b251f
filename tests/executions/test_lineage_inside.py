"""Forks and retries inside loops: what is kept, what runs again, and by whose consent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from apps.executions.actions import Again, fork_run, retry_run, start_run
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome, StepRepeats
from apps.executions.errors import EffectsNeedConsent
from apps.executions.history import steps
from apps.executions.models import Run
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from tests.executions import world
from tests.executions.test_lineage import asked, ran, refused
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
NODES = [
    a("s", "keyed"),
    a("c", "box"),
    a("x", "keyed", parentId="c"),
    a("d", "box", parentId="c"),
    a("y", "unsafe", parentId="d"),
    a("e", "keyed"),
]
LINKS = [to("s", "c"), to("c.item", "x"), to("x", "d"), to("d.item", "y"), to("c", "e")]
TIMES = {"c": 3, "d": 2}


@dataclass
class Sink:
    """The world outside: effects by key, what arrived; one step may be broken."""

    broken: str = ""
    keys: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, Any] = field(default_factory=dict)

    def __call__(self, call: StepCall, *_: object) -> StepOutcome:
        if call.node.id in TIMES:
            index = 0 if call.inside is None else call.inside.index + 1
            if index < TIMES[call.node.id]:
                return StepRepeats(values={"item": index, "index": index})
            return StepDone(outputs={"value": call.path})
        self.inputs[call.path] = dict(call.inputs)
        if call.path == self.broken:
            return StepFailed(code="NO", message="no")
        self.keys[call.idempotency_key.split("/", 2)[2]] += 1
        return StepDone(outputs={"value": call.path})

    def fresh(self) -> set[str]:
        """Keys since the last time."""
        keys, self.keys = set(self.keys), Counter()
        return keys


def first_of(tenant: Tenant, sink: Sink) -> Run:
    with scope.tenant(tenant.id, actor=tenant.owner):
        drawn = create_workflow(actor=tenant.owner, document=raw(NODES, LINKS))
    return ran(tenant, asked(tenant, start_run, workflow_id=drawn.pk), sink)


def test_a_fork_inside_a_loop_runs_what_follows_by_consent(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink)
    assert len(sink.fresh()) == 3 * 3 + 2
    path = "c[1]/d[1]/y"
    with pytest.raises(EffectsNeedConsent) as needed:
        asked(acme, fork_run, run_id=first.pk, path=path, inputs={"value": 7})
    shown = {(e.path, e.node_id): (e.times, e.in_doubt) for e in needed.value.effects}
    assert shown == {
        ("c", "x"): (1, False),
        ("c", "y"): (3, False),
        ("e", "e"): (1, False),
    }, "what was before it does not happen again"
    how = Again(confirmed=["c", "e"])
    forked = asked(acme, fork_run, run_id=first.pk, path=path, inputs={"value": 7}, again=how)
    assert ran(acme, forked, sink).state == "SUCCEEDED"
    assert sink.inputs[path] == {"value": 7}
    assert sink.fresh() == {
        *("c[1]/d[1]/y/1/2", "c[2]/x/2/2", "c[2]/d[0]/y/0/2", "c[2]/d[1]/y/1/2", "e/0/2"),
    }
    done = world.run_of(acme, forked.pk)
    assert done.attempts == 5 + 6, "steps, and what c and d were asked as turns ended"
    with scope.tenant(acme.id):
        views = {view.path: view.reused_from for view in steps(done)}
    assert views["c[0]/d"] == views["c[1]/d[0]/y"] == str(first.pk)
    assert views["c"] is views["c[1]/d"] is None
    assert verify_tenant(acme.id) == []
    again = asked(acme, fork_run, run_id=forked.pk, path="c[2]/d[1]/y", again=how)
    assert ran(acme, again, sink).state == "SUCCEEDED"
    assert sink.fresh() == {"c[2]/d[1]/y/1/3", "e/0/3"}
    assert verify_tenant(acme.id) == []


def test_a_retry_goes_on_in_the_iteration_with_the_edited_input(acme: Tenant) -> None:
    sink = Sink(broken="c[2]/x")
    first = first_of(acme, sink)
    assert first.state == "FAILED"
    forked = asked(acme, fork_run, run_id=first.pk, path="c[2]/x", inputs={"value": "edited"})
    sink.fresh()
    assert ran(acme, forked, sink).state == "FAILED"
    sink.broken = ""
    again = asked(acme, retry_run, run_id=forked.pk)
    assert ran(acme, again, sink).state == "SUCCEEDED"
    assert sink.inputs["c[2]/x"] == {"value": "edited"}
    assert sink.fresh() == {"c[2]/x/2/1", "c[2]/d[0]/y/0/1", "c[2]/d[1]/y/1/1", "e/0/1"}
    assert verify_tenant(acme.id) == []


def test_a_worker_of_the_sixth_release_leaves_alone_what_it_cannot_read(acme: Tenant) -> None:
    sink = Sink(broken="c[2]/x")
    first = first_of(acme, sink)
    forked = asked(acme, retry_run, run_id=first.pk)
    with scope.tenant(acme.id):
        assert Run.objects.raw("SELECT id, abi FROM run WHERE id = %s", [forked.pk])[0].abi == 7


def test_what_is_no_step_of_the_run_is_refused(acme: Tenant) -> None:
    first = first_of(acme, Sink())
    fork: dict[str, Any] = {"verb": fork_run, "run_id": first.pk}
    assert refused(acme, **fork, path="c[7]/x") == "STEP_NOT_REACHED"
    assert refused(acme, **fork, path="c[0]/nothing") == "STEP_UNKNOWN"
    assert refused(acme, **fork, path="c[0]/x/y") == "STEP_INSIDE"
    assert refused(acme, **fork, path="c[zero]/x") == "STEP_UNKNOWN"
    assert refused(acme, **fork, path="c[0]/x", inputs={"no": 1}) == "INPUT_UNKNOWN"
