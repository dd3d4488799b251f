"""Processes that die as they start a run: it is there as a whole, or not at all."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable

import pytest
from django.db import connections

from apps.executions import crashpoints
from apps.executions.actions import start_run
from apps.executions.models import Run, RunEvent, TriggerKind, WorkItem
from apps.executions.verify import verify_tenant
from apps.tenancy import scope
from apps.tenancy.models import EnvironmentKind
from apps.tenancy.scope import Scope, enter
from apps.versions.actions import commit_version, deploy_version
from tests.executions.families import Family
from tests.executions.world import finished
from tests.factories.graphs import a, to
from tests.factories.tenancy import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_nodes")]


def start(tenant: Tenant, workflow_id: uuid.UUID, *, within: bool) -> uuid.UUID:
    """By the product's own action; `within` a transaction of somebody else's."""
    here = Scope(tenant_id=tenant.id, actor=tenant.owner)
    with scope.tenant(tenant.id, actor=tenant.owner) if within else enter(here):
        run = start_run(
            actor=tenant.owner,
            workflow_id=workflow_id,
            environment=EnvironmentKind.PRODUCTION,
            trigger=TriggerKind.API,
        )
    return run.pk


def dies_at(point: str, act: Callable[[], object]) -> int:
    """The signal that ended a process of its own, on connections of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            for one in connections.all():
                one.connection = None  # The parent's: closing it here would end it there.
            crashpoints.arm(
                lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == point else None
            )
            act()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status)


@pytest.mark.parametrize(
    ("point", "within", "exists"),
    [
        ("start.begun", False, False),
        ("start.begun", True, False),
        ("start.written", False, True),
        ("start.written", True, False),
    ],
)
def test_a_start_whose_process_dies_is_whole_or_nothing(
    acme: Tenant, point: str, within: bool, exists: bool
) -> None:
    family = Family(acme)
    drawn = family.draw(a("work", "keyed"), a("end"), links=[to("work", "end")])
    with scope.tenant(acme.id, actor=acme.owner):
        version = commit_version(actor=acme.owner, workflow_id=drawn.pk, message="One")
        production = EnvironmentKind.PRODUCTION
        deploy_version(actor=acme.owner, version_id=version.pk, environment=production)
    before = start(acme, drawn.pk, within=False)
    ended = dies_at(point, lambda: start(acme, drawn.pk, within=within))
    assert ended == signal.SIGKILL
    with scope.tenant(acme.id):
        born = list(Run.objects.exclude(pk=before).values_list("pk", flat=True))
        assert len(born) == exists
        for kind in (RunEvent, WorkItem):
            assert kind.objects.filter(run_id__in=born).count() == len(born)
    assert verify_tenant(acme.id) == []
    after = start(acme, drawn.pk, within=False)
    with family.working():
        for run_id in (before, *born, after):
            assert finished(acme, run_id).state == "SUCCEEDED"
    assert verify_tenant(acme.id) == []
