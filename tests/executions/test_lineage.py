"""Going on from a finished run: retry, another version, fork; effects only by consent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from apps.executions.actions import Again, fork_run, retry_run, start_run
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome
from apps.executions.errors import EffectsNeedConsent, RunRefused
from apps.executions.history import steps
from apps.executions.models import Run, RunEvent
from apps.kit.errors import Forbidden, NotFound
from apps.tenancy import scope
from apps.tenancy.models import AuditRow, EnvironmentKind
from apps.versions.actions import commit_version, deploy_version
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import create_workflow, save_draft
from apps.workflows.models import Workflow
from tests.executions import world
from tests.executions.world import ScriptedRunner
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]
NODES = [a("a"), a("b", "keyed"), a("c", "unsafe"), a("d")]
LINKS = [to("a", "b"), to("b", "c"), to("c", "d")]
Start = Callable[[], Run]


class Sink:
    """The world outside: what arrived, by key, and which step does not answer."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.keys: list[str] = []
        self.inputs: dict[str, Any] = {}

    def __call__(self, call: StepCall, *_: object) -> StepOutcome:
        self.inputs[call.path] = dict(call.inputs)
        if call.path in self.broken:
            return StepFailed(code="NO", message="no")
        if call.path in "bc":
            self.keys.append(call.idempotency_key.split("/", 2)[2])
        return StepDone(outputs={"value": call.path})


def drawn(tenant: Tenant, nodes: Any = NODES, **configuration: Any) -> Workflow:
    with scope.tenant(tenant.id, actor=tenant.owner):
        document = raw(nodes, LINKS, **configuration)
        return create_workflow(actor=tenant.owner, document=document)


def redrawn(tenant: Tenant, workflow: Workflow, nodes: Any, links: Any = LINKS) -> None:
    with scope.tenant(tenant.id, actor=tenant.owner):
        save_draft(
            actor=tenant.owner,
            workflow_id=workflow.pk,
            expected_revision=Workflow.objects.get(pk=workflow.pk).draft_revision,
            document=raw(nodes, links),
        )


def asked(tenant: Tenant, verb: Callable[..., Run], **given: Any) -> Run:
    with scope.tenant(tenant.id, actor=tenant.owner):
        return verb(actor=tenant.owner, **given)


def ran(tenant: Tenant, run: Run, sink: Any) -> Run:
    """The run at its end, its version read as the product reads it."""
    with scope.tenant(tenant.id):
        version = WorkflowVersion.objects.get(pk=run.version_id)
    world.VERSIONS.documents[version.pk] = version.graph
    with world.worker(ScriptedRunner(sink)):
        return world.finished(tenant, run.pk)


def first_of(tenant: Tenant, sink: Sink, workflow: Workflow | None = None) -> Run:
    made = workflow or drawn(tenant)
    return ran(tenant, asked(tenant, start_run, workflow_id=made.pk), sink)


def refused(tenant: Tenant, verb: Callable[..., Run], **given: Any) -> str:
    """The code; a refusal writes nothing."""
    with scope.tenant(tenant.id):
        before = (Run.objects.count(), RunEvent.objects.count(), AuditRow.objects.count())
    with pytest.raises(RunRefused) as error:
        asked(tenant, verb, **given)
    with scope.tenant(tenant.id):
        assert before == (Run.objects.count(), RunEvent.objects.count(), AuditRow.objects.count())
    return error.value.reason


def test_a_retry_is_a_new_run_that_goes_on_where_the_first_failed(acme: Tenant) -> None:
    sink = Sink("c")
    first = first_of(acme, sink)
    assert first.state == "FAILED"
    second = asked(acme, retry_run, run_id=first.pk)
    assert (second.state, second.head, second.settled) == ("QUEUED", 3, 2)
    assert (second.lineage_id, second.retried_from_id) == (first.pk, first.pk)
    sink.broken.clear()
    done = ran(acme, second, sink)
    assert done.state == "SUCCEEDED"
    assert done.result == {"d": {"value": "d"}}
    assert done.attempts == 2, "what was taken over was not attempted"
    assert sink.keys == ["b/0/1", "c/0/1"]
    assert sink.inputs["c"] == {"value": "b"}
    assert world.types(acme, second.pk)[:4] == [
        "run.queued",
        "step.reused a",
        "step.reused b",
        "run.started",
    ]
    with scope.tenant(acme.id):
        assert AuditRow.objects.filter(target=f"Run:{second.pk}").count() == 1
        views = {view.path: view for view in steps(done)}
        assert [views[path].reused_from for path in "abcd"] == [str(first.pk)] * 2 + [None] * 2
        assert Run.objects.get(pk=first.pk).state == "FAILED", "terminal stays terminal"


def test_a_retry_of_a_retry_names_where_each_outcome_came_from(acme: Tenant) -> None:
    sink = Sink("b")
    first = first_of(acme, sink)
    sink.broken = {"c"}
    second = ran(acme, asked(acme, retry_run, run_id=first.pk), sink)
    third = asked(acme, retry_run, run_id=second.pk)
    assert third.lineage_id == first.pk
    with scope.tenant(acme.id):
        views = {view.path: view.reused_from for view in steps(third)}
    assert (views["a"], views["b"]) == (str(first.pk), str(second.pk))


def test_what_had_its_effect_runs_again_by_consent_only(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink)
    with pytest.raises(EffectsNeedConsent) as needed:
        asked(acme, fork_run, run_id=first.pk, path="b")
    shown = [(e.path, e.node_type, e.effect, e.times, e.in_doubt) for e in needed.value.effects]
    assert shown == [
        ("b", "test.keyed", "KEYED", 1, False),
        ("c", "test.unsafe", "UNSAFE", 1, False),
    ]
    assert all(first.created_at < e.happened_at for e in needed.value.effects)
    with pytest.raises(EffectsNeedConsent):
        asked(acme, fork_run, run_id=first.pk, path="b", again=Again(confirmed=["b"]))
    with scope.tenant(acme.id):
        assert Run.objects.count() == 1
    forked = asked(acme, fork_run, run_id=first.pk, path="b", again=Again(confirmed=["b", "c"]))
    assert ran(acme, forked, sink).state == "SUCCEEDED"
    assert sink.keys == ["b/0/1", "c/0/1", "b/0/2", "c/0/2"]


def test_forks_of_one_run_never_share_a_key(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink)
    for path, confirmed in (("c", ["c"]), ("b", ["b", "c"]), ("c", ["c"])):
        again = Again(confirmed=confirmed)
        ran(acme, asked(acme, fork_run, run_id=first.pk, path=path, again=again), sink)
    assert sink.keys == ["b/0/1", "c/0/1", "c/0/2", "b/0/3", "c/0/3", "c/0/4"]


def test_a_retry_keeps_the_generation_it_failed_under(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink)
    sink.broken = {"c"}
    forked = asked(acme, fork_run, run_id=first.pk, path="c", again=Again(confirmed=["c"]))
    assert ran(acme, forked, sink).state == "FAILED"
    sink.broken.clear()
    # The first run's c has happened, under the first key: this one is not that.
    with pytest.raises(EffectsNeedConsent):
        asked(acme, retry_run, run_id=forked.pk)


def test_a_pure_step_is_forked_with_an_edited_input(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink)
    forked = asked(acme, fork_run, run_id=first.pk, path="d", inputs={"value": {"x": 1}})
    assert ran(acme, forked, sink).state == "SUCCEEDED"
    assert sink.inputs["d"] == {"value": {"x": 1}}
    assert sink.keys == ["b/0/1", "c/0/1"]
    assert world.types(acme, forked.pk)[:2] == ["run.queued", "step.given d"]


def test_a_checkpoint_is_the_end_of_a_step(acme: Tenant) -> None:
    sink = Sink()
    first = first_of(acme, sink)
    with scope.tenant(acme.id):
        event = RunEvent.objects.get(run_id=first.pk, type="step.completed", path="c")
    second = asked(acme, retry_run, run_id=first.pk, checkpoint=event.seq)
    assert ran(acme, second, sink).state == "SUCCEEDED"
    assert sink.keys == ["b/0/1", "c/0/1"]
    unknown = refused(acme, retry_run, run_id=first.pk, checkpoint=99)
    assert unknown == "CHECKPOINT_UNKNOWN"


def test_another_version_keeps_what_behaves_the_same(acme: Tenant) -> None:
    sink = Sink("c")
    workflow = drawn(acme, parameters=[{"name": "x", "schema": {}, "default": 1}])
    first = first_of(acme, sink, workflow)
    assert first.parameters == {"x": 1}
    sink.broken.clear()
    mended = [*NODES[:2], a("c", "unsafe", configuration={"say": "better"}), NODES[3]]
    redrawn(acme, workflow, mended)
    second = asked(acme, retry_run, run_id=first.pk, again=Again(version="draft"))
    assert (second.parameters, second.settled) == ({}, 2)
    assert ran(acme, second, sink).state == "SUCCEEDED"
    assert sink.keys == ["b/0/1", "c/0/1"]
    with scope.tenant(acme.id, actor=acme.owner):
        version = commit_version(actor=acme.owner, workflow_id=workflow.pk, message="Mended")
    renamed = asked(
        acme, retry_run, run_id=first.pk, again=Again(version=version.version, confirmed=["c"])
    )
    assert renamed.version == "1.0.0"
    assert ran(acme, renamed, sink).state == "SUCCEEDED"


def test_what_cannot_go_on_says_why(acme: Tenant) -> None:
    sink = Sink()
    workflow = drawn(acme)
    queued = asked(acme, start_run, workflow_id=workflow.pk)
    assert refused(acme, retry_run, run_id=queued.pk) == "RUN_NOT_FINISHED"
    first = ran(acme, queued, sink)
    fork: dict[str, Any] = {"verb": fork_run, "run_id": first.pk}
    assert refused(acme, retry_run, run_id=first.pk) == "NOTHING_TO_RETRY"
    assert refused(acme, **fork, path="x") == "STEP_UNKNOWN"
    assert refused(acme, **fork, path="d", inputs={"nothing": 1}) == "INPUT_UNKNOWN"
    large = {"value": "x" * 40_000}
    assert refused(acme, **fork, path="d", inputs=large) == "INPUT_NOT_STORABLE"
    redrawn(acme, workflow, NODES[:3], links=LINKS[:2])
    draft = Again(version="draft")
    assert refused(acme, **fork, path="d", again=draft) == "STEP_UNKNOWN"
    with pytest.raises(NotFound):
        asked(acme, retry_run, run_id=first.pk, again=Again(version="9.9.9"))
    with pytest.raises(NotFound):
        asked(acme, retry_run, run_id=uuid.uuid4())


def test_one_run_of_a_lineage_with_effects_at_a_time(acme: Tenant) -> None:
    sink = Sink("b")
    first = first_of(acme, sink)
    second = asked(acme, retry_run, run_id=first.pk, again=Again(idempotency_key="k"))
    assert refused(acme, retry_run, run_id=first.pk) == "LINEAGE_RUNNING"
    same = asked(acme, retry_run, run_id=first.pk, again=Again(idempotency_key="k"))
    assert same.pk == second.pk


def test_drafts_stay_in_development(acme: Tenant) -> None:
    workflow = drawn(acme)
    production = EnvironmentKind.PRODUCTION
    with scope.tenant(acme.id, actor=acme.owner):
        version = commit_version(actor=acme.owner, workflow_id=workflow.pk, message="First")
        deploy_version(actor=acme.owner, version_id=version.pk, environment=production)
        run = start_run(actor=acme.owner, workflow_id=workflow.pk, environment=production)
    ended = ran(acme, run, Sink("a"))
    again = Again(version="draft")
    assert refused(acme, retry_run, run_id=ended.pk, again=again) == "DRAFT_NOT_HERE"
    second = asked(acme, retry_run, run_id=ended.pk)
    assert (second.environment, second.version) == ("PRODUCTION", "1.0.0")


def test_a_step_that_was_never_reached_is_no_place_to_fork_from(acme: Tenant) -> None:
    def untaken(call: StepCall, *_: object) -> StepOutcome:
        return StepDone(outputs={"other": 1})

    with scope.tenant(acme.id, actor=acme.owner):
        document = raw([a("a"), a("b")], [to("a", "b")])
        made = create_workflow(actor=acme.owner, document=document)
    run = asked(acme, start_run, workflow_id=made.pk)
    ended = ran(acme, run, untaken)
    assert refused(acme, fork_run, run_id=ended.pk, path="b") == "STEP_NOT_REACHED"


def test_an_unsafe_effect_in_doubt_is_asked_about(acme: Tenant) -> None:
    def lost(call: StepCall, *_: object) -> StepOutcome:
        if call.path in "bc":
            return StepFailed(code="STEP_TIMEOUT", message="no answer", retryable=True)
        return StepDone(outputs={"value": 1})

    nodes = [
        a("a"),
        a("b", "keyed", retry={"maxAttempts": 1}, onError="continue"),
        # A rule that names the doubt ends the run instead of asking a person.
        a("c", "unsafe", onError=[{"match": {"codes": ["STEP_TIMEOUT"]}, "do": "fail"}]),
    ]
    with scope.tenant(acme.id, actor=acme.owner):
        made = create_workflow(actor=acme.owner, document=raw(nodes, [to("a", "b"), to("a", "c")]))
    first = ran(acme, asked(acme, start_run, workflow_id=made.pk), lost)
    with pytest.raises(EffectsNeedConsent) as needed:
        asked(acme, retry_run, run_id=first.pk)
    assert [(e.path, e.in_doubt) for e in needed.value.effects] == [("c", True)]
    second = asked(acme, retry_run, run_id=first.pk, again=Again(confirmed=["c"]))
    sink = Sink()
    assert ran(acme, second, sink).state == "SUCCEEDED"
    assert sorted(sink.keys) == ["b/0/1", "c/0/1"]


def test_who_may_not_run_may_not_run_again(acme: Tenant, viewer: Any, globex: Tenant) -> None:
    first = first_of(acme, Sink("a"))
    with scope.tenant(acme.id, actor=viewer):
        with pytest.raises(Forbidden):
            retry_run(actor=viewer, run_id=first.pk)
        with pytest.raises(Forbidden):
            fork_run(actor=viewer, run_id=first.pk, path="a")
    with pytest.raises(NotFound):
        asked(globex, retry_run, run_id=first.pk)
