"""Forks from a step in an item of a map: in memory, as a run, in a loop, in an item of a map."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from apps.executions.actions import Again, fork_run, retry_run, start_run
from apps.executions.engine.ports import (
    StepCall,
    StepDone,
    StepFailed,
    StepOpens,
    StepOutcome,
    StepRepeats,
)
from apps.executions.errors import EffectsNeedConsent
from apps.executions.models import Run, RunEvent
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from apps.workflows.graph.mapping import MapOpening, Policy
from tests.executions.test_lineage import asked, ran, refused
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
TOTAL = 5
RUNS = {"onError": "escalate"}
"""It may wait for a person, so each item is a run of its own."""


@dataclass
class Sink:
    """The world outside: effects by key, executions by place, what arrived."""

    bad: set[str] = field(default_factory=set)
    keys: Counter[str] = field(default_factory=Counter)
    ran: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, Any] = field(default_factory=dict)
    tolerated: int = 0

    def __call__(self, call: StepCall, *_: object) -> StepOutcome:
        if call.node.id in ("rows", "cells"):
            opening = MapOpening(
                total=TOTAL,
                items=list(range(TOTAL)),
                chunk_size=2,
                policy=Policy.COLLECT,
                tolerated=self.tolerated,
            )
            return StepOpens(opening=opening)
        if call.node.id == "c":
            index = 0 if call.inside is None else call.inside.index + 1
            if index < 2:
                return StepRepeats(values={"item": index, "index": index})
            return StepDone(outputs={"value": "c"})
        place = call.idempotency_key.split("/", 2)[2]
        where = place.rpartition("/")[0].rpartition("/")[0]
        self.inputs[where] = dict(call.inputs)
        self.ran[where] += 1
        if where in self.bad:
            return StepFailed(code="NO", message="no")
        if call.node_type.type != "test.pure":
            self.keys[place] += 1
        return StepDone(outputs={"value": where})

    def fresh(self) -> tuple[set[str], set[str]]:
        """What ran, and the keys, since the last time; each once."""
        assert {*self.ran.values(), *self.keys.values()} <= {1}
        found = set(self.ran), set(self.keys)
        self.ran.clear()
        self.keys.clear()
        return found


def flat(**work: Any) -> dict[str, Any]:
    """rows (one → two → three) → end."""
    nodes = [
        a("rows", "each"),
        {**a("one", "keyed", parentId="rows"), **work},
        a("two", "keyed", parentId="rows"),
        a("three", "pure", parentId="rows"),
        a("end", "keyed"),
    ]
    links = [
        *(to("rows.item", "one"), to("one", "two"), to("two", "three")),
        *(to("three", "rows.result"), to("rows.results", "end")),
    ]
    return raw(nodes, links)


def looped(**work: Any) -> dict[str, Any]:
    """c (before → rows (one → two)) → end."""
    nodes = [
        a("c", "box"),
        a("before", "keyed", parentId="c"),
        a("rows", "each", parentId="c"),
        {**a("one", "keyed", parentId="rows"), **work},
        a("two", "keyed", parentId="rows"),
        a("end"),
    ]
    links = [
        *(to("c.item", "before"), to("before", "rows"), to("rows.item", "one"), to("one", "two")),
        *(to("two", "rows.result"), to("c", "end")),
    ]
    return raw(nodes, links)


def nested() -> dict[str, Any]:
    """rows (before → cells (one → two) → after)."""
    nodes = [
        a("rows", "each"),
        a("before", "keyed", parentId="rows"),
        a("cells", "each", parentId="rows"),
        a("one", "keyed", parentId="cells"),
        a("two", "keyed", parentId="cells"),
        a("after", "keyed", parentId="rows"),
    ]
    links = [
        *(to("rows.item", "before"), to("before", "cells"), to("cells.item", "one")),
        *(to("one", "two"), to("two", "cells.result"), to("cells.results", "after")),
        to("after", "rows.result"),
    ]
    return raw(nodes, links)


def first_of(tenant: Tenant, sink: Sink, document: dict[str, Any], state: str = "SUCCEEDED") -> Run:
    with scope.tenant(tenant.id, actor=tenant.owner):
        drawn = create_workflow(actor=tenant.owner, document=document)
    run = ran(tenant, asked(tenant, start_run, workflow_id=drawn.pk), sink)
    assert run.state == state, run.error
    sink.fresh()
    return run


def asks(tenant: Tenant, run: Run, path: str, **given: Any) -> dict[tuple[str, str], int]:
    """What is asked about, and how often it has happened."""
    with pytest.raises(EffectsNeedConsent) as needed:
        asked(tenant, fork_run, run_id=run.pk, path=path, **given)
    assert not any(one.in_doubt for one in needed.value.effects)
    return {(one.path, one.node_id): one.times for one in needed.value.effects}


def forked(tenant: Tenant, run: Run, sink: Sink, path: str, *confirmed: str, **given: Any) -> Run:
    again = asked(
        tenant, fork_run, run_id=run.pk, path=path, again=Again(confirmed=confirmed), **given
    )
    done = ran(tenant, again, sink)
    assert done.state == "SUCCEEDED", done.error
    assert verify_tenant(tenant.id) == []
    return done


def test_an_item_in_memory_begins_anew_with_the_edited_input(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink, flat())
    path, edit = "rows[3]/two", {"value": "edited"}
    assert asks(acme, first, path, inputs=edit) == {
        ("rows[3]/one", "one"): 1,
        ("rows[3]/two", "two"): 1,
        ("end", "end"): 1,
    }, "nobody knows what its first step gave"
    done = forked(acme, first, sink, path, "rows", "end", inputs=edit)
    steps, keys = sink.fresh()
    assert steps == {"rows[3]/one", "rows[3]/two", "rows[3]/three", "end"}
    assert keys == {"rows[3]/one/3/2", "rows[3]/two/3/2", "end/0/2"}
    assert sink.inputs[path] == edit
    results = [f"rows[{number}]/three" for number in range(TOTAL)]
    assert sink.inputs["end"]["value"] == results, "items other than it were taken over"
    assert done.result == {"end": {"value": "end"}}


def test_an_item_that_is_a_run_goes_on_at_the_step(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink, flat(**RUNS))
    path, edit = "rows[3]/two", {"value": "edited"}
    assert asks(acme, first, path, inputs=edit) == {
        ("rows[3]/two", "two"): 1,
        ("end", "end"): 1,
    }
    done = forked(acme, first, sink, path, "two", "end", inputs=edit)
    steps, keys = sink.fresh()
    assert steps == {"rows[3]/two", "rows[3]/three", "end"}
    assert keys == {"rows[3]/two/3/2", "end/0/2"}
    assert sink.inputs[path] == edit
    with scope.tenant(acme.id):
        (item,) = Run.objects.filter(parent_id=done.pk, parent_kind="ITEM")
        seen = RunEvent.objects.filter(run_id=item.pk).order_by("seq").values_list("type", "path")
        said = list(seen)
    assert said[:4] == [
        ("run.queued", None),
        ("item.given", None),
        ("step.reused", "one"),
        ("run.started", None),
    ]
    # A fork of the fork, and one of the first again: no key is had twice.
    forked(acme, done, sink, path, "two", "end")
    assert sink.fresh()[1] == {"rows[3]/two/3/3", "end/0/3"}
    forked(acme, first, sink, path, "two", "end")
    assert sink.fresh()[1] == {"rows[3]/two/3/4", "end/0/4"}


@pytest.mark.parametrize("work", [{}, RUNS], ids=["in memory", "runs"])
def test_in_a_loop_both_are_kept_up_to_there(acme: Tenant, work: dict[str, Any]) -> None:
    sink = Sink()
    first = first_of(acme, sink, looped(**work))
    path = "c[1]/rows[2]/one"
    wanted = {("c[1]/rows[2]/one", "one"): 1, ("c[1]/rows[2]/two", "two"): 1}
    assert asks(acme, first, path) == wanted
    forked(acme, first, sink, path, "c", inputs={"value": "edited"})
    steps, keys = sink.fresh()
    assert steps == {"c[1]/rows[2]/one", "c[1]/rows[2]/two", "end"}
    assert keys == {"c[1]/rows[2]/one/2/2", "c[1]/rows[2]/two/2/2"}
    assert sink.inputs[path] == {"value": "edited"}
    early = "c[0]/rows[2]/two"
    assert asks(acme, first, early)["c", "before"] == 1, "the next iteration begins anew"


def test_in_an_item_of_an_item(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink, nested())
    path = "rows[1]/cells[4]/two"
    assert asks(acme, first, path) == {
        ("rows[1]/cells[4]/one", "one"): 1,
        ("rows[1]/cells[4]/two", "two"): 1,
        ("rows[1]/after", "after"): 1,
    }
    forked(acme, first, sink, path, "rows", inputs={"value": "edited"})
    steps, keys = sink.fresh()
    assert steps == {"rows[1]/cells[4]/one", "rows[1]/cells[4]/two", "rows[1]/after"}
    assert keys == {
        *("rows[1]/cells[4]/one/4/2", "rows[1]/cells[4]/two/4/2", "rows[1]/after/1/2"),
    }
    assert sink.inputs[path] == {"value": "edited"}


@pytest.mark.parametrize("work", [{}, {"onError": [{"do": "fail"}]}])
def test_a_retry_of_a_fork_tries_the_item_as_it_was(acme: Tenant, work: dict[str, Any]) -> None:
    sink = Sink()
    first = first_of(acme, sink, flat(**work))
    path = "rows[3]/two"
    sink.bad = {path}
    how = Again(confirmed=["rows", "end"])
    second = asked(acme, fork_run, run_id=first.pk, path=path, inputs={"value": 7}, again=how)
    assert ran(acme, second, sink).state == "FAILED"
    sink.bad.clear()
    sink.fresh()
    third = asked(acme, retry_run, run_id=second.pk, again=how)
    assert ran(acme, third, sink).state == "SUCCEEDED"
    assert sink.inputs[path] == {"value": 7}
    steps, keys = sink.fresh()
    assert steps == {"rows[3]/one", "rows[3]/two", "rows[3]/three", "end"}
    assert "rows[3]/two/3/2" in keys, "under the key of its first try"


def test_failures_that_were_borne_stay_and_others_are_tried_again(acme: Tenant) -> None:
    sink = Sink(bad={"rows[0]/one"}, tolerated=1)
    first = first_of(acme, sink, flat())
    forked(acme, first, sink, "rows[3]/three", "rows", "end")
    assert "rows[0]/one" not in sink.fresh()[0]
    broken = Sink(bad={"rows[0]/one", "rows[3]/two"})
    second = first_of(acme, broken, flat(), "FAILED")
    broken.bad = set()
    forked(acme, second, broken, "rows[3]/two", "rows", inputs={"value": 1})
    assert broken.fresh()[0] == {
        *("rows[0]/one", "rows[0]/two", "rows[0]/three"),
        *("rows[3]/one", "rows[3]/two", "rows[3]/three", "end"),
    }


def test_what_is_no_item_is_refused(acme: Tenant) -> None:
    first = first_of(acme, Sink(), flat())
    fork: dict[str, Any] = {"verb": fork_run, "run_id": first.pk}
    assert refused(acme, **fork, path="rows[5]/two") == "STEP_NOT_REACHED"
    assert refused(acme, **fork, path="rows[0]/nothing") == "STEP_UNKNOWN"
    assert refused(acme, **fork, path="rows[0]/two", inputs={"no": 1}) == "INPUT_UNKNOWN"
    again = Again(confirmed=["end"])
    later = ran(acme, asked(acme, fork_run, run_id=first.pk, path="end", again=again), Sink())
    assert refused(acme, verb=fork_run, run_id=later.pk, path="rows[0]/two") == "STEP_NOT_REACHED"
