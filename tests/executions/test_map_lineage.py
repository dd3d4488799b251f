"""A run that repeats another: its map redoes failed items alone, done ones by consent only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from apps.executions.actions import Again, fork_run, retry_run, start_run
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOpens, StepOutcome
from apps.executions.errors import EffectsNeedConsent
from apps.executions.models import Run
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.workflows.actions import create_workflow
from apps.workflows.graph.mapping import MapOpening, Policy
from tests.executions.test_lineage import asked, ran
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
TOTAL = 8


@dataclass
class World:
    """What the items of a map did outside; some fail, with that code."""

    bad: frozenset[int] = frozenset()
    code: str = "REFUSED"
    keys: Counter[str] = field(default_factory=Counter)

    def __call__(self, call: StepCall, *_: object) -> StepOutcome:
        if call.path == "rows":
            opening = MapOpening(
                total=TOTAL,
                items=list(range(TOTAL)),
                chunk_size=4,
                policy=Policy.COLLECT,
                tolerated=0,
            )
            return StepOpens(opening=opening)
        if call.path == "end":
            return StepDone(outputs={"value": call.inputs["value"]})
        if call.index in self.bad:
            return StepFailed(code=self.code, message="no")
        self.keys[call.idempotency_key.split("/", 2)[2]] += 1
        return StepDone(outputs={"value": call.index})


def mapped(kind: str) -> dict[str, Any]:
    nodes = [a("rows", "each"), a("one", kind, parentId="rows"), a("end")]
    links = [to("rows.item", "one"), to("one", "rows.result"), to("rows.results", "end")]
    return raw(nodes, links)


def failed(tenant: Tenant, kind: str, world: World) -> Run:
    with scope.tenant(tenant.id, actor=tenant.owner):
        drawn = create_workflow(actor=tenant.owner, document=mapped(kind))
        run = start_run(actor=tenant.owner, workflow_id=drawn.pk)
    run = ran(tenant, run, world)
    assert run.error is not None
    assert run.error["code"] == "MAP_FAILURES_EXCEEDED"
    return run


@pytest.mark.parametrize("kind", ["keyed", "unsafe"])
def test_a_retry_redoes_failed_items_alone(acme: Tenant, kind: str) -> None:
    world = World(bad=frozenset({5}))
    first = failed(acme, kind, world)
    world.bad = frozenset()
    second = ran(acme, asked(acme, retry_run, run_id=first.pk), world)
    assert second.state == "SUCCEEDED", second.error
    assert set(world.keys.values()) == {1}, "no item had its effect again"
    assert len(world.keys) == TOTAL
    assert verify_tenant(acme.id) == []


def test_an_unsafe_item_in_doubt_needs_consent(acme: Tenant) -> None:
    world = World(bad=frozenset({5}), code="STEP_TIMEOUT")
    first = failed(acme, "unsafe", world)
    world.bad = frozenset()
    with pytest.raises(EffectsNeedConsent) as refused:
        asked(acme, retry_run, run_id=first.pk)
    (effect,) = refused.value.effects
    assert (effect.path, effect.node_id, effect.times, effect.in_doubt) == ("rows", "one", 1, True)
    again = asked(acme, retry_run, run_id=first.pk, again=Again(confirmed=["rows"]))
    assert ran(acme, again, world).state == "SUCCEEDED"
    assert set(world.keys.values()) == {1}
    assert len(world.keys) == TOTAL


def test_a_fork_from_the_map_does_all_again_by_consent_under_new_keys(acme: Tenant) -> None:
    world = World(bad=frozenset({5}))
    first = failed(acme, "keyed", world)
    world.bad = frozenset()
    with pytest.raises(EffectsNeedConsent) as refused:
        asked(acme, fork_run, run_id=first.pk, path="rows")
    (effect,) = refused.value.effects
    assert (effect.node_id, effect.times, effect.in_doubt) == ("one", TOTAL - 1, False)
    how = Again(confirmed=["one"])
    again = asked(acme, fork_run, run_id=first.pk, path="rows", again=how)
    assert ran(acme, again, world).state == "SUCCEEDED"
    assert len(world.keys) == 2 * TOTAL - 1
    assert {key.rpartition("/")[2] for key in world.keys} == {"1", "2"}
