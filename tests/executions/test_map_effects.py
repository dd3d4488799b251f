"""Effects inside the items of a map: what nobody can be asked, what a death must not lose."""

from __future__ import annotations

import io
import threading
import uuid
from typing import Any, BinaryIO

import pytest

from apps.executions.actions import cancel_run
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepFailed,
    StepOutcome,
    StepStopped,
    StopReason,
    StopSignal,
    TransactionalWrite,
)
from apps.executions.models import Ask, MapItem, NodeState, Run
from apps.executions.verify import verify_tenant
from apps.executions.worker.maps.lines import ItemsGone, ItemSource, Lines
from apps.executions.worker.maps.objects import Objects
from apps.tenancy import scope
from apps.workflows.graph.context import ArtifactRef
from apps.workflows.graph.mapping import Policy
from tests.executions.test_item_runs import until
from tests.executions.test_maps import Items, mapped
from tests.executions.world import ScriptedRunner, finished, start, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("rules", "state"), [("fail", "failed"), ("continue", "done")])
def test_nobody_is_asked_about_an_item_in_doubt_its_next_rule_decides(
    acme: Tenant, rules: str, state: str
) -> None:
    items = Items(2, {"policy": Policy.COLLECT, "tolerated": None})

    def cut_off(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path.endswith("one"):
            return StepFailed(code="STEP_TIMEOUT", message="no answer")
        return items(call, stop, logs)

    run_id = start(acme, mapped("unsafe", onError=rules))
    with worker(ScriptedRunner(cut_off)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    with scope.tenant(acme.id):
        rows = list(MapItem.objects.all())
    assert {row.state for row in rows} == {state}
    assert {row.error and row.error["code"] for row in rows} <= {"STEP_TIMEOUT", None}
    assert verify_tenant(acme.id) == []


@pytest.mark.django_db(transaction=True)
def test_a_person_is_asked_about_each_item_whose_failure_is_escalated(acme: Tenant) -> None:
    items = Items(2, {"policy": Policy.COLLECT, "tolerated": None})

    def fails(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path == "one":
            return StepFailed(code="BUSY", message="no answer")
        return items(call, stop, logs)

    run_id = start(acme, mapped("keyed", onError=[{"do": "escalate"}]))
    with worker(ScriptedRunner(fails)):
        with scope.tenant(acme.id):
            until(lambda: Run.objects.children(run_id).filter(state="WAITING").count() == 2)
            asked = list(Ask.objects.all())
            assert len(asked) == 2
            assert {one.run_id for one in asked} == set(
                Run.objects.children(run_id).values_list("pk", flat=True)
            )
            cancel_run(actor=acme.owner, run_id=run_id)
        assert finished(acme, run_id).state == "CANCELED"
    assert verify_tenant(acme.id) == []


@pytest.mark.django_db(transaction=True)
def test_what_a_step_declared_before_an_intent_outlives_its_worker(acme: Tenant) -> None:
    items = Items(1)
    reached = threading.Event()

    def held(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path.endswith("/keep"):
            return StepDone(outputs={"value": 1}, writes=(TransactionalWrite(key="k", value=7),))
        if not call.path.endswith("/send"):
            return items(call, stop, logs)
        if reached.is_set():
            assert call.interrupted
            return StepDone(outputs={"value": 2})
        reached.set()
        return StepStopped(reason=stop.wait(seconds=60) or StopReason.DRAINING)

    nodes = [a("rows", "each"), a("keep", "transactional", parentId="rows")]
    nodes += [a("send", "reconcilable", parentId="rows"), a("after")]
    links = [to("rows.item", "keep"), to("keep", "send"), to("send", "rows.result")]
    run_id = start(acme, raw(nodes, [*links, to("rows.results", "after")]))
    with worker(ScriptedRunner(held)):
        assert reached.wait(20)
    with worker(ScriptedRunner(held)):
        assert finished(acme, run_id).state == "SUCCEEDED"
    assert items.after == [[2]]
    with scope.tenant(acme.id):
        assert dict(NodeState.objects.values_list("key", "value")) == {"k": 7}


class Shelf:
    """Objects in memory."""

    def open(self, reference: ArtifactRef) -> BinaryIO:
        return io.BytesIO(b"1\n\n2\n3\n" if reference.digest == "good" else b"no json\n")

    def put(self, content: BinaryIO, *, media_type: str) -> ArtifactRef:
        raise AssertionError


class Crowded(ItemSource):
    """Another chunk's object takes the place of ours, once, after we have looked it up."""

    robbed = False

    def _lines(self, reference: ArtifactRef, tenant_id: uuid.UUID, objects: Objects) -> Lines:
        found = super()._lines(reference, tenant_id, objects)
        if not self.robbed:
            self.robbed = True
            self.close()
        return found


def reference(digest: str) -> dict[str, Any]:
    return ArtifactRef(digest=digest, media_type="application/x-ndjson", bytes=8).to_json()


def test_items_are_read_again_when_another_chunk_has_closed_their_object() -> None:
    source, tenant = Crowded(), uuid.uuid4()
    read = source.read(reference("good"), tenant_id=tenant, objects=Shelf(), span=range(1, 3))
    assert (read, source.robbed) == ([2, 3], True)
    with pytest.raises(ItemsGone):
        source.read(reference("bad"), tenant_id=tenant, objects=Shelf(), span=range(1))
