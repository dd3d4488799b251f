"""Whether an effect happened in a lineage: what a retry asks about before it runs it again."""

from __future__ import annotations

import threading

import pytest

from apps.executions.actions import Again, cancel_run, retry_run, start_run
from apps.executions.engine.ports import (
    LogSink,
    StepCall,
    StepDone,
    StepOutcome,
    StepStopped,
    StopReason,
    StopSignal,
)
from apps.executions.errors import EffectsNeedConsent
from apps.tenancy import scope
from apps.versions.actions import commit_version
from apps.versions.models import WorkflowVersion
from tests.executions import world
from tests.executions.test_lineage import NODES, Sink, asked, drawn, first_of, ran, redrawn
from tests.executions.world import ScriptedRunner
from tests.factories.graphs import a, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]


def test_an_unsafe_effect_that_was_cut_off_by_a_cancel_is_asked_about(acme: Tenant) -> None:
    reached = threading.Event()

    def stuck(call: StepCall, stop: StopSignal, logs: LogSink) -> StepOutcome:
        if call.path != "c":
            return StepDone(outputs={"value": call.path})
        reached.set()
        return StepStopped(reason=stop.wait(seconds=60) or StopReason.CANCELED)

    first = asked(acme, start_run, workflow_id=drawn(acme).pk)
    with scope.tenant(acme.id):
        version = WorkflowVersion.objects.get(pk=first.version_id)
    world.VERSIONS.documents[version.pk] = version.graph
    with world.worker(ScriptedRunner(stuck)) as loop:
        assert reached.wait(20)
        asked(acme, cancel_run, run_id=first.pk)
        loop.ring()
        assert world.finished(acme, first.pk).state == "CANCELED"
    with pytest.raises(EffectsNeedConsent) as needed:
        asked(acme, retry_run, run_id=first.pk)
    assert [(e.path, e.in_doubt) for e in needed.value.effects] == [("c", True)]


def test_an_effect_is_remembered_past_a_version_without_its_step(acme: Tenant) -> None:
    sink = Sink("d")
    workflow = drawn(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        version = commit_version(actor=acme.owner, workflow_id=workflow.pk, message="First")
    first = first_of(acme, sink, workflow)
    assert sink.keys == ["b/0/1", "c/0/1"]
    redrawn(acme, workflow, [NODES[0], a("d")], links=[to("a", "d")])
    again = Again(version="draft", confirmed=["c"])
    second = ran(acme, asked(acme, retry_run, run_id=first.pk, again=again), sink)
    back = Again(version=version.version)
    with pytest.raises(EffectsNeedConsent) as needed:
        asked(acme, retry_run, run_id=second.pk, again=back)
    assert {effect.path for effect in needed.value.effects} == {"b", "c"}
