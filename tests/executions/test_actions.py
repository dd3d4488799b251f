"""Starting and canceling runs: what is checked, what is written, what is refused."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.executions import bounds, compiled, origins
from apps.executions.actions import cancel_run, start_run
from apps.executions.errors import RunRefused, SecretMissing
from apps.executions.models import Run, RunEvent
from apps.kit.errors import Forbidden, IdempotencyMismatch, NotFound, QuotaExceeded
from apps.tenancy import limits, scope
from apps.tenancy.actors import Actor
from apps.tenancy.limits import Metric
from apps.tenancy.models import AuditRow, EnvironmentKind
from apps.versions.actions import commit_version, deploy_version
from apps.versions.errors import NotDeployed
from apps.workflows.actions import archive_workflow, create_workflow
from apps.workflows.errors import WorkflowIsArchived
from apps.workflows.models import Workflow
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_nodes")]

PARAMETER = {"name": "city", "schema": {"type": "string"}, "required": True}


def workflow(tenant: Tenant, *nodes: dict[str, Any], **configuration: Any) -> Workflow:
    made = [a("n0"), a("n1", "keyed")] if not nodes else list(nodes)
    links = [to("n0", "n1")] if not nodes else []
    return create_workflow(actor=tenant.owner, document=raw(made, links, **configuration))


def deployed(tenant: Tenant) -> Workflow:
    drawn = workflow(tenant)
    version = commit_version(actor=tenant.owner, workflow_id=drawn.pk, message="First")
    deploy_version(
        actor=tenant.owner, version_id=version.pk, environment=EnvironmentKind.PRODUCTION
    )
    return drawn


def rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_a_run_is_queued_with_its_first_event_and_its_item(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert (run.state, run.head, run.version) == ("QUEUED", 1, "")
        assert run.lineage_id == run.pk
        events = list(RunEvent.objects.filter(run_id=run.pk))
        assert [(event.seq, event.type) for event in events] == [(1, "run.queued")]
        assert rows("work_item") == 1
        assert rows("lane") == 1
        assert AuditRow.objects.filter(action="run.start", target=f"Run:{run.pk}").exists()


def test_a_run_of_an_installed_workflow_names_the_installation(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        installed, drawn = workflow(acme), workflow(acme)
        installation_id = uuid.uuid4()
        known = {installed.pk: installation_id}
        monkeypatch.setattr(origins, "_finders", [lambda _: None, known.get])
        runs = [start_run(actor=acme.owner, workflow_id=w.pk) for w in (installed, drawn)]
        assert [run.installation_id for run in runs] == [installation_id, None]


def test_bounds_and_promises_of_the_document_reach_the_run(acme: Tenant) -> None:
    configuration = {"limits": {"maxRuns": 1, "burst": 2}, "sla": {"maxDurationSeconds": 90}}
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme, **configuration)
        first, second = (start_run(actor=acme.owner, workflow_id=drawn.pk) for _ in range(2))
        assert (first.gated, first.held_key) == (True, None)
        assert second.held_key is not None
        assert second.due_at is not None
        assert (second.due_at - second.created_at).total_seconds() == pytest.approx(90)
        assert rows("work_item") == 1


def test_a_start_asks_little(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Place, version, installation, variables, limits, room; then the start and its run."""
    robot = Actor.system(acme.id, "clock")
    with scope.tenant(acme.id, actor=acme.owner):
        start = partial(
            start_run,
            actor=robot,
            workflow_id=deployed(acme).pk,
            environment=EnvironmentKind.PRODUCTION,
        )
        first = start()
        monkeypatch.setattr(compiled, "compile_plan", None)
        with CaptureQueriesContext(connection) as asked:
            second = start()
    statements = [one["sql"] for one in asked.captured_queries]
    assert sum("SAVEPOINT" in one for one in statements) == 2, "of start_run's own transaction"
    assert len(statements) - 2 <= 8, statements
    assert not any("document" in one for one in statements)
    assert (second.version_id, second.version) == (first.version_id, "1.0.0")


def test_a_version_is_refused_each_time(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme, a("n0"), errorHandler="n0")
        for _ in range(2):
            with pytest.raises(RunRefused):
                start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert rows("run") == 0


def test_an_archived_workflow_starts_nothing_where_it_stands(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = deployed(acme)
        archive_workflow(actor=acme.owner, workflow_id=drawn.pk)
        with pytest.raises(WorkflowIsArchived):
            start_run(
                actor=acme.owner, workflow_id=drawn.pk, environment=EnvironmentKind.PRODUCTION
            )
        assert rows("run") == 0


def test_the_same_key_gives_the_same_run(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme)
        first = start_run(actor=acme.owner, workflow_id=drawn.pk, idempotency_key="k")
        again = start_run(actor=acme.owner, workflow_id=drawn.pk, idempotency_key="k")
        assert first.pk == again.pk
        assert Run.objects.count() == 1
        with pytest.raises(IdempotencyMismatch):
            start_run(
                actor=acme.owner, workflow_id=drawn.pk, parameters={"x": 1}, idempotency_key="k"
            )


def test_parameters_are_held_against_their_schemas(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme, parameters=[PARAMETER])
        for given, code in (
            ({}, "PARAMETER_REQUIRED"),
            ({"city": 7}, "PARAMETER_INVALID"),
            ({"city": "Bern", "x": 1}, "PARAMETER_UNKNOWN"),
            ({"city": "Be\x00rn"}, "INPUT_NOT_STORABLE"),
            ({"city": "B" * 70_000}, "INPUT_NOT_STORABLE"),
        ):
            with pytest.raises(RunRefused) as refused:
                start_run(actor=acme.owner, workflow_id=drawn.pk, parameters=given)
            assert refused.value.reason == code
        run = start_run(actor=acme.owner, workflow_id=drawn.pk, parameters={"city": "Bern"})
        assert run.parameters == {"city": "Bern"}
        assert Run.objects.count() == 1


def test_secrets_must_be_there(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme, a("n0", "keyed", configuration={"say": "{{ secrets.TOKEN }}"}))
        with pytest.raises(SecretMissing) as refused:
            start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert refused.value.names == ("TOKEN",)
        assert not Run.objects.exists()


def test_elsewhere_than_in_development_the_deployed_version_runs(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme)
        production = EnvironmentKind.PRODUCTION
        with pytest.raises(NotDeployed):
            start_run(actor=acme.owner, workflow_id=drawn.pk, environment=production)
        version = commit_version(actor=acme.owner, workflow_id=drawn.pk, message="First")
        deploy_version(actor=acme.owner, version_id=version.pk, environment=production)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk, environment=production)
        assert run.version_id == version.pk
        assert run.version == version.version
        assert run.environment == "PRODUCTION"


def test_what_the_engine_does_not_run_is_refused_at_start(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme, a("n0"), errorHandler="n0")
        with pytest.raises(RunRefused) as refused:
            start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert refused.value.reason == "ERROR_HANDLER_NOT_SUPPORTED"
        assert not Run.objects.exists()


def test_quotas_refuse_before_anything_is_written(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme)
        limits.set_limits({Metric.RUNS_PER_MONTH: 1, Metric.QUEUED_RUNS: 1})
        start_run(actor=acme.owner, workflow_id=drawn.pk)
        with pytest.raises(QuotaExceeded) as refused:
            start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert refused.value.metric == Metric.QUEUED_RUNS
        assert refused.value.retry_after_seconds == bounds.QUEUE_RETRY_SECONDS
        limits.set_limits({Metric.QUEUED_RUNS: 100, Metric.STARTS_PER_MINUTE: 1})
        with pytest.raises(QuotaExceeded) as refused:
            start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert refused.value.metric == Metric.STARTS_PER_MINUTE
        assert 1 <= (refused.value.retry_after_seconds or 0) <= 60
        limits.set_limits({Metric.STARTS_PER_MINUTE: 100})
        with pytest.raises(QuotaExceeded) as refused:
            start_run(actor=acme.owner, workflow_id=drawn.pk)
        assert refused.value.metric == Metric.RUNS_PER_MONTH
        assert Run.objects.count() == 1
        assert rows("work_item") == 1


def test_another_tenants_run_is_as_unknown_as_a_random_one(acme: Tenant, globex: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        run = start_run(actor=acme.owner, workflow_id=workflow(acme).pk)
    with scope.tenant(globex.id, actor=globex.owner):
        messages = set()
        for run_id in (run.pk, uuid.uuid4()):
            with pytest.raises(NotFound) as refused:
                cancel_run(actor=globex.owner, run_id=run_id)
            messages.add(str(refused.value))
        assert len(messages) == 1
        assert not Run.objects.exists()


def test_a_viewer_neither_starts_nor_cancels(acme: Tenant, viewer: Actor) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = workflow(acme)
        run = start_run(actor=acme.owner, workflow_id=drawn.pk)
    with scope.tenant(acme.id, actor=viewer):
        with pytest.raises(Forbidden):
            start_run(actor=viewer, workflow_id=drawn.pk)
        with pytest.raises(Forbidden):
            cancel_run(actor=viewer, run_id=run.pk)
        assert rows("run_inbox") == 0


def test_canceling_puts_one_message_into_the_inbox(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        run = start_run(actor=acme.owner, workflow_id=workflow(acme).pk)
        cancel_run(actor=acme.owner, run_id=run.pk)
        assert rows("run_inbox") == 1
        assert rows("work_item") == 1
        run.refresh_from_db()
        assert run.head == 1, "history belongs to the run's owner alone"
