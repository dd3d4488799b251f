"""The whole way with the real queue and worker, and what the marketplace does when others speak."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import django_rq
import pytest
from django.db import transaction
from rq import SimpleWorker

from apps.executions.events import RunFinished
from apps.kit import events
from apps.kit.clock import now
from apps.marketplace import actions, jobs
from apps.marketplace.models import (
    FirstSuccessfulRun,
    Installation,
    ListingStatistics,
    Release,
    SearchRow,
)
from apps.marketplace.planning import Choices
from apps.tenancy import periodic, scope
from apps.versions.actions import decide_approval
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, staff


@pytest.fixture
def queue() -> Iterator[Any]:
    """The real queue, emptied before and after."""
    held: Any = django_rq.get_queue("default")
    held.empty()
    yield held
    held.empty()


def folding(queue: Any) -> list[str]:
    """Which of this test's folding jobs wait."""
    return [name for name in queue.job_ids if name in jobs.FOLDING]


def work(queue: Any) -> None:
    SimpleWorker([queue], connection=queue.connection).work(burst=True)


@pytest.mark.django_db(transaction=True)
def test_from_handing_in_to_a_counted_download(acme: Tenant, globex: Tenant, queue: Any) -> None:
    # given a release whose scan the worker has run
    release = make.submitted(acme)
    work(queue)
    with scope.tenant(acme.id):
        approval_id = Release.objects.get(pk=release.pk).approval_id
    assert approval_id is not None
    # when staff approve, another organization installs and its run succeeds
    person = staff()
    with scope.platform(actor=person):
        decide_approval(actor=person, approval_id=approval_id, approve=True)
    with scope.tenant(globex.id, actor=globex.owner):
        installation = actions.install_workflow(
            actor=globex.owner,
            listing_id=release.listing_id,
            environment_kind="DEVELOPMENT",
            choices=Choices(),
        )
        for state in ("FAILED", "SUCCEEDED", "SUCCEEDED"):
            events.publish(finished(globex, installation, state))
    # then one job was rung for, it is one download, and search knows it
    assert folding(queue) == [jobs.FOLDING[0]]
    work(queue)
    with scope.tenant(globex.id):
        assert FirstSuccessfulRun.objects.count() == 1
        assert ListingStatistics.objects.get().downloads == 1
    row = SearchRow.objects.get()
    assert (row.downloads, row.trending) == (1, 1)
    assert row.popularity > 0


def finished(of: Tenant, installation: Installation | None, state: str) -> RunFinished:
    return RunFinished(
        tenant_id=of.id,
        run_id=uuid.uuid4(),
        workflow_id=installation.workflow_id if installation else uuid.uuid4(),
        installation_id=installation.pk if installation else None,
        environment_id=of.environments["DEVELOPMENT"].pk,
        state=state,
        error_code=None,
        finished_at=now(),
        steps=1,
        cpu_seconds=0.1,
        wall_ms=10,
        bytes_in=0,
        bytes_out=0,
        cost_minor=0,
    )


def test_a_run_of_an_own_workflow_is_no_download(acme: Tenant) -> None:
    with scope.tenant(acme.id), transaction.atomic():
        events.publish(finished(acme, None, "SUCCEEDED"))
        assert not FirstSuccessfulRun.objects.exists()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of jobs that no other test rings for at the same time."""
    own = tuple(f"{name}-{uuid.uuid4().hex}" for name in jobs.FOLDING)
    monkeypatch.setattr(jobs, "FOLDING", own)


def test_folding_waits_once_for_all_who_ask(queue: Any) -> None:
    jobs.refresh_statistics_soon()
    jobs.refresh_statistics_soon()
    assert folding(queue) == [jobs.FOLDING[0]]


def test_a_folding_that_runs_already_is_followed_by_another(queue: Any) -> None:
    jobs.refresh_statistics_soon()
    running = queue.fetch_job(jobs.FOLDING[0])
    queue.remove(running)
    running.set_status("started")
    jobs.refresh_statistics_soon()
    jobs.refresh_statistics_soon()
    assert folding(queue) == [jobs.FOLDING[1]]
    running.delete()


def test_the_periodic_jobs_are_declared() -> None:
    names = {job.name for job in periodic.declared()}
    assert {
        "apps.marketplace.jobs.refresh_statistics",
        "apps.marketplace.jobs.refresh_words",
        "apps.security_scan.jobs.sweep_lost_scans",
    } <= names


def test_refreshing_words_is_repeatable(acme: Tenant) -> None:
    make.published(acme)
    jobs.refresh_words()
    jobs.refresh_words()
    assert SearchRow.objects.count() == 1
