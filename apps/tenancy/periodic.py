"""Periodic platform jobs: a row (job, period) claimed in PostgreSQL, then one django-rq job.

Anybody may tick, as often as wished: the unique row decides who enqueues, and a tick that cannot
reach Redis takes its claim back. Jobs are idempotent and derive their work from the database, so a
job that got lost is made good by the next period. Never rq's own scheduler.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import django_rq
import structlog
from django.db import transaction

from apps.kit.clock import now
from apps.tenancy import scope
from apps.tenancy.models import JobPeriod, Organization

log = structlog.get_logger(__name__)

KEPT = dt.timedelta(days=2)
PAGE = 500
EPOCH = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Periodic:
    """A job and how often it is due."""

    name: str
    interval: dt.timedelta
    run: Callable[[], None]

    def period(self, at: dt.datetime) -> dt.datetime:
        """The beginning of the period `at` lies in."""
        return EPOCH + (at - EPOCH) // self.interval * self.interval


_jobs: dict[str, Periodic] = {}


def every(interval: dt.timedelta) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Declare a function of a `jobs.py` as periodic; `reactions.py` imports that module."""

    def declare(run: Callable[[], None]) -> Callable[[], None]:
        name = f"{run.__module__}.{run.__qualname__}"
        _jobs[name] = Periodic(name=name, interval=interval, run=run)
        return run

    return declare


def declared() -> tuple[Periodic, ...]:
    """All periodic jobs, by name."""
    return tuple(_jobs[name] for name in sorted(_jobs))


def tick(at: dt.datetime | None = None) -> list[str]:
    """Enqueue what is due and not yet claimed; returns the names. Raises when Redis is away."""
    moment = at or now()
    started = []
    for job in declared():
        with transaction.atomic():
            if not _claim(job, job.period(moment)):
                continue
            stamp = int(job.period(moment).timestamp())
            # At once, inside the transaction: if Redis is away the claim goes back with it.
            queue = django_rq.get_queue("default", commit_mode="auto")
            queue.enqueue(job.run, job_id=f"{job.name.replace('.', '-')}-{stamp}")
            started.append(job.name)
    return started


def forget(before: dt.datetime | None = None) -> None:
    """Drop claims of periods that are long over."""
    JobPeriod.objects.filter(period__lt=before or now() - KEPT).delete()


def tenants() -> Iterator[Organization]:
    """Every organization, in pages by id; the caller enters the scope of each it works for."""
    last = uuid.UUID(int=0)
    while True:
        with scope.platform():
            page = list(Organization.objects.filter(pk__gt=last).order_by("pk")[:PAGE])
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1].pk


def for_each_tenant(work: Callable[[Organization], object]) -> None:
    """Do `work` in each tenant's own scope and transaction; one that fails stops no other.

    Raises the last failure at the end, so that the job itself shows as failed.
    """
    failure: Exception | None = None
    for organization in tenants():
        try:
            with scope.tenant(organization.pk):
                work(organization)
        except Exception as error:
            log.exception("periodic.tenant_failed", tenant=str(organization.pk))
            failure = error
    if failure is not None:
        raise failure


def _claim(job: Periodic, period: dt.datetime) -> bool:
    _, is_new = JobPeriod.objects.get_or_create(job=job.name, period=period)
    return is_new
