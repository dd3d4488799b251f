"""Scans as rows: asked for, judged once, swept when lost, seen by their own tenant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import django_rq
import pytest
from django.db import DatabaseError, connection, transaction
from rq import SimpleWorker

from apps.kit import events
from apps.kit.clock import now
from apps.kit.errors import Forbidden
from apps.security_scan import actions, jobs
from apps.security_scan.events import ScanFinished
from apps.security_scan.models import Finding, Scan
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import AuditRow
from tests.factories import security_scan as make
from tests.factories.tenancy import Tenant, staff

Capture = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def finished() -> Iterator[list[ScanFinished]]:
    """What was announced while the test ran."""
    heard: list[ScanFinished] = []
    events.on(ScanFinished)(heard.append)
    yield heard
    events._receivers[ScanFinished].remove(heard.append)


@pytest.fixture
def queue() -> Iterator[Any]:
    """The real queue, emptied before and after."""
    held: Any = django_rq.get_queue("default")
    held.empty()
    yield held
    held.empty()


def test_a_request_writes_a_pending_scan_and_an_audit_row(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner)
        assert (scan.verdict, scan.finished_at) == ("PENDING", None)
        assert AuditRow.objects.get(action="scan.request").target.endswith(str(scan.pk))


def test_a_viewer_may_not_request_a_scan(acme: Tenant, viewer: Actor) -> None:
    with scope.tenant(acme.id, actor=viewer):
        with pytest.raises(Forbidden):
            make.scan(viewer)
        assert not Scan.objects.exists()


def test_the_job_is_enqueued_after_commit_under_the_scans_id(
    acme: Tenant, queue: Any, django_capture_on_commit_callbacks: Capture
) -> None:
    with (
        django_capture_on_commit_callbacks(execute=True),
        scope.tenant(acme.id, actor=acme.owner),
    ):
        scan = make.scan(acme.owner)
        assert queue.job_ids == []
    assert queue.job_ids == [f"scan-{scan.pk}"]


def test_a_rolled_back_request_enqueues_nothing(
    acme: Tenant, queue: Any, django_capture_on_commit_callbacks: Capture
) -> None:
    def request_and_fail() -> None:
        with scope.tenant(acme.id, actor=acme.owner):
            make.scan(acme.owner)
            raise RuntimeError

    with django_capture_on_commit_callbacks(execute=True) as callbacks, pytest.raises(RuntimeError):
        request_and_fail()
    assert (callbacks, queue.job_ids) == ([], [])


def test_running_a_scan_gives_verdict_score_and_findings(
    acme: Tenant, finished: list[ScanFinished]
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner, "import socket\neval(value)")
        actions.run_scan(scan_id=scan.pk)
        scan.refresh_from_db()
        assert (scan.verdict, scan.score) == ("FAILED", 60)
        found = [(one.severity, one.rule, one.line) for one in scan.findings.all()]
        assert found == [
            ("HIGH", "code.dynamic-execution", 2),
            ("MEDIUM", "code.network-access", 1),
        ]
    assert [(one.scan_id, one.verdict) for one in finished] == [(scan.pk, "FAILED")]


def test_running_a_scan_twice_changes_nothing(acme: Tenant, finished: list[ScanFinished]) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner, "eval(value)")
        actions.run_scan(scan_id=scan.pk)
        first = Scan.objects.get(pk=scan.pk)
        actions.run_scan(scan_id=scan.pk)
        actions.record(scan_id=scan.pk, report=actions.judge({}))
        again = Scan.objects.get(pk=scan.pk)
        assert (again.verdict, again.finished_at) == (first.verdict, first.finished_at)
        assert Finding.objects.count() == 1
    assert len(finished) == 1


def test_running_a_scan_that_is_gone_is_nothing(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        assert actions.run_scan(scan_id=acme.id) is None


def test_judging_inline_writes_nothing(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        assert actions.judge(make.document("eval(value)")).verdict == "FAILED"
        assert not Scan.objects.exists()


def test_another_tenant_sees_no_scan_and_no_finding(acme: Tenant, globex: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner, "eval(value)")
        actions.run_scan(scan_id=scan.pk)
    with scope.tenant(globex.id, actor=globex.owner):
        assert not Scan.objects.exists()
        assert not Finding.unscoped.exists()
        assert actions.run_scan(scan_id=scan.pk) is None


def test_a_finding_cannot_point_at_another_tenants_scan(acme: Tenant, globex: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner)
    with scope.tenant(globex.id), pytest.raises(DatabaseError), transaction.atomic():
        Finding.objects.create(scan_id=scan.pk, position=0, rule="x", title="x", severity="LOW")


def test_staff_see_the_scans_of_everybody(acme: Tenant) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner)
    with scope.platform(actor=staff()):
        assert Scan.objects.filter(pk=scan.pk).exists()


def test_the_sweeper_rings_again_for_lost_scans_only(
    acme: Tenant, queue: Any, django_capture_on_commit_callbacks: Capture
) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        lost, fresh, done = (make.scan(acme.owner) for _ in range(3))
        actions.run_scan(scan_id=done.pk)
        long_ago = now() - dt.timedelta(hours=1)
        Scan.objects.filter(pk__in=[lost.pk, done.pk]).update(requested_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.sweep_lost_scans()
    assert queue.job_ids == [f"scan-{lost.pk}"]
    assert fresh.verdict == "PENDING"


@pytest.mark.django_db(transaction=True)
def test_a_worker_runs_the_job_in_the_tenants_scope(acme: Tenant, queue: Any) -> None:
    with scope.tenant(acme.id, actor=acme.owner):
        scan = make.scan(acme.owner, "eval(value)")
    SimpleWorker([queue], connection=queue.connection).work(burst=True)
    with scope.tenant(acme.id):
        assert Scan.objects.get(pk=scan.pk).verdict == "FAILED"


def test_scan_tables_are_isolated(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
            " AND relname IN ('security_scan_scan', 'security_scan_finding')"
        )
        assert cursor.fetchone() == (2,)
