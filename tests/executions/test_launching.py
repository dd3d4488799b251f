"""The short way to start a run: the same row, no refusal lost, nothing old believed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.executions.actions import start_run
from apps.executions.errors import RunRefused, SecretMissing
from apps.executions.models import Run
from apps.kit.errors import NotFound, QuotaExceeded
from apps.tenancy import audit, limits, scope
from apps.tenancy.limits import Metric
from apps.tenancy.models import AuditRow, EnvironmentKind
from apps.tenancy.scope import Scope, enter
from apps.vault.actions import delete_secret, set_secret, set_variable
from apps.versions.actions import commit_version, deploy_version
from apps.versions.errors import NotDeployed
from apps.workflows.actions import archive_workflow, create_workflow, save_draft
from apps.workflows.errors import WorkflowIsArchived
from tests.factories.graphs import a, raw
from tests.factories.tenancy import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]
PRODUCTION = EnvironmentKind.PRODUCTION
PARAMETER = {"name": "city", "schema": {"type": "string"}, "required": True}
NODE = a("n0", "keyed", configuration={"say": "{{ secrets.TOKEN }}"})


@pytest.fixture
def place(acme: Tenant) -> uuid.UUID:
    found: uuid.UUID = acme.environments[PRODUCTION].pk
    set_it(acme, set_secret, environment_id=found, name="TOKEN", value="s" * 20)
    return found


@pytest.fixture
def workflow_id(acme: Tenant, place: uuid.UUID) -> uuid.UUID:
    """Deployed in production, and started there once: the process knows how everything stands."""
    with scope.tenant(acme.id, actor=acme.owner):
        drawn = create_workflow(actor=acme.owner, document=raw([NODE], [], parameters=[PARAMETER]))
    deploy(acme, drawn.pk)
    begin(acme, drawn.pk)
    return drawn.pk


def set_it(tenant: Tenant, action: Callable[..., Any], **given: Any) -> Any:
    with scope.tenant(tenant.id, actor=tenant.owner):
        return action(actor=tenant.owner, **given)


def deploy(tenant: Tenant, workflow_id: uuid.UUID) -> None:
    with scope.tenant(tenant.id, actor=tenant.owner):
        version = commit_version(actor=tenant.owner, workflow_id=workflow_id, message="x")
        deploy_version(actor=tenant.owner, version_id=version.pk, environment=PRODUCTION)


def begin(tenant: Tenant, workflow_id: uuid.UUID, **given: Any) -> Run:
    """As a door does: a scope, no transaction."""
    wanted = {"parameters": {"city": "Bern"}, "environment": PRODUCTION, **given}
    with enter(Scope(tenant_id=tenant.id, actor=tenant.owner)):
        return start_run(actor=tenant.owner, workflow_id=workflow_id, **wanted)


def asked(tenant: Tenant, workflow_id: uuid.UUID, **given: Any) -> tuple[Run, list[str]]:
    with CaptureQueriesContext(connection) as seen:
        run = begin(tenant, workflow_id, **given)
    return run, [one["sql"] for one in seen.captured_queries]


def test_one_statement_writes_what_the_long_way_writes(
    acme: Tenant, workflow_id: uuid.UUID
) -> None:
    short, statements = asked(acme, workflow_id)
    assert len(statements) == 1
    long, statements = asked(acme, workflow_id, idempotency_key="k")
    assert len(statements) > 5
    with scope.tenant(acme.id, actor=acme.owner):
        stored = Run.objects.get(pk=short.pk)
        names = [field.attname for field in Run._meta.concrete_fields]
        assert {name: getattr(short, name) for name in names} == {
            name: getattr(stored, name) for name in names
        }
        own = {"id", "lineage_id", "created_at", "deadline_at"}
        for name in set(names) - own:
            assert getattr(short, name) == getattr(long, name), name
        acts = [
            AuditRow.objects.get(target=f"Run:{run.pk}").__dict__ | {"_state": None}
            for run in (short, long)
        ]
        assert audit.verify().unsealed
        audit.seal()
        assert audit.verify().broken_at is None
    for name in set(acts[0]) - {"id", "at", "target"}:
        assert acts[0][name] == acts[1][name], name


def test_inside_a_transaction_it_takes_a_savepoint(acme: Tenant, workflow_id: uuid.UUID) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        run, statements = asked(acme, workflow_id)
        assert [one.split()[0] for one in statements] == ["SAVEPOINT", "SELECT", "RELEASE"]
        limits.set_limits({Metric.RUNS_PER_MONTH: 2})
        with pytest.raises(QuotaExceeded):
            begin(acme, workflow_id)
        assert Run.objects.filter(pk=run.pk).exists(), "theirs goes on"


def test_what_was_changed_counts_at_once(acme: Tenant, workflow_id: uuid.UUID, place: Any) -> None:
    set_it(acme, set_variable, environment_id=place, name="TONE", value={"a": [1.5, "ü"]})
    run, statements = asked(acme, workflow_id)
    assert run.variables == {"TONE": {"a": [1.5, "ü"]}}
    assert len(statements) > 5, "the long way, once"
    run, statements = asked(acme, workflow_id)
    assert run.variables == {"TONE": {"a": [1.5, "ü"]}}
    assert len(statements) == 1
    before = run.version_id
    with scope.tenant(acme.id, actor=acme.owner):
        other = raw([NODE, a("n1")], [], parameters=[{**PARAMETER, "name": "town"}])
        save_draft(actor=acme.owner, workflow_id=workflow_id, expected_revision=1, document=other)
    deploy(acme, workflow_id)
    run = begin(acme, workflow_id, parameters={"town": "Bern"})
    assert run.version_id != before
    with pytest.raises(RunRefused):
        begin(acme, workflow_id)


def test_every_refusal_is_that_of_the_long_way(acme: Tenant, workflow_id: uuid.UUID) -> None:
    with pytest.raises(RunRefused) as refused:
        begin(acme, workflow_id, parameters={"city": 7})
    assert refused.value.reason == "PARAMETER_INVALID"
    with pytest.raises(NotDeployed):
        begin(acme, workflow_id, environment=EnvironmentKind.STAGING)
    with pytest.raises(NotFound):
        begin(acme, workflow_id, environment=uuid.uuid4())
    with scope.tenant(acme.id, actor=acme.owner):
        assert Run.objects.count() == 1


def test_quotas_refuse(acme: Tenant, workflow_id: uuid.UUID) -> None:
    for metric, most in ((Metric.RUNS_PER_MONTH, 2), (Metric.QUEUED_RUNS, 2)):
        with scope.tenant(acme.id, actor=acme.owner):
            limits.set_limits({Metric.RUNS_PER_MONTH: 100, metric: most})
        if metric is Metric.RUNS_PER_MONTH:
            begin(acme, workflow_id)
        with pytest.raises(QuotaExceeded) as refused:
            begin(acme, workflow_id)
        assert refused.value.metric == metric
    with scope.tenant(acme.id, actor=acme.owner):
        assert Run.objects.count() == 2


def test_a_queue_that_is_counted_now_and_then_never_holds_more_than_it_may(
    acme: Tenant, workflow_id: uuid.UUID
) -> None:
    # given a queue so long that one start in two is not counted, while there is much room
    most, refused = 256, 0
    with scope.tenant(acme.id, actor=acme.owner):
        limits.set_limits(
            {
                Metric.QUEUED_RUNS: most,
                Metric.RUNS_PER_MONTH: 10 * most,
                Metric.STARTS_PER_MINUTE: 10 * most,
            }
        )
    # when more are started than there is room for; one is there already
    for _ in range(most + 4):
        try:
            begin(acme, workflow_id)
        except QuotaExceeded:
            refused += 1
    assert refused == 5
    with scope.tenant(acme.id, actor=acme.owner):
        assert Run.objects.count() == most


def test_the_quota_is_taken_and_let_go_before_the_run_is_written(
    acme: Tenant, workflow_id: uuid.UUID
) -> None:
    def started() -> Run:
        try:
            return begin(acme, workflow_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with scope.tenant(acme.id, actor=acme.owner):
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE work_item IN SHARE MODE")
            starting = threads.submit(started)
            while limits.allowance(Metric.RUNS_PER_MONTH).used < 2:
                time.sleep(0.01)
            limits.require(Metric.RUNS_PER_MONTH)  # Nobody holds its row.
            assert Run.objects.count() == 1
        run = starting.result()
    with scope.tenant(acme.id, actor=acme.owner):
        assert Run.objects.filter(pk=run.pk).exists()
        assert limits.allowance(Metric.RUNS_PER_MONTH).used == 3


def test_a_secret_that_is_gone_refuses(
    acme: Tenant, workflow_id: uuid.UUID, place: uuid.UUID
) -> None:
    set_it(acme, delete_secret, environment_id=place, name="TOKEN")
    with pytest.raises(SecretMissing):
        begin(acme, workflow_id)


def test_an_archived_workflow_starts_nothing(acme: Tenant, workflow_id: uuid.UUID) -> None:
    set_it(acme, archive_workflow, workflow_id=workflow_id)
    with pytest.raises(WorkflowIsArchived):
        begin(acme, workflow_id)


def test_what_one_tenant_knows_helps_no_other(
    acme: Tenant, globex: Tenant, workflow_id: uuid.UUID
) -> None:
    with pytest.raises(NotFound):
        begin(globex, workflow_id)
    with scope.tenant(globex.id, actor=globex.owner), connection.cursor() as cursor:
        cursor.execute(
            "SELECT executions_standing_7(%s, %s, 'PRODUCTION', '{}')", [globex.id, workflow_id]
        )
        assert cursor.fetchone() == (None,)
        assert not Run.objects.exists()
