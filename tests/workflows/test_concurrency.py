"""Two people at once: real commits on two connections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from apps.kit.errors import Refusal, StaleRevision
from apps.tenancy import scope
from apps.versions import actions as versions
from apps.versions.errors import NothingToCommit
from apps.versions.models import WorkflowVersion
from apps.workflows import actions
from apps.workflows.models import Workflow
from tests.factories import tenancy as make
from tests.factories.tenancy import Tenant
from tests.factories.workflow_nodes import training
from tests.factories.workflows import workflow

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(tenant: Tenant, *attempts: Callable[[], object]) -> list[Any]:
    """What each attempt returned or was refused with; all begin together."""
    start = threading.Barrier(len(attempts))
    outcomes: list[Any] = [None] * len(attempts)

    def run(number: int) -> None:
        start.wait(timeout=30)
        try:
            with scope.tenant(tenant.id, actor=tenant.owner):
                outcomes[number] = attempts[number]()
        except Refusal as refusal:
            outcomes[number] = refusal
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(attempts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return outcomes


def test_of_two_saves_at_once_one_is_stale() -> None:
    tenant = make.tenant("racing")
    drawn = workflow(tenant)

    def save(name: str) -> Callable[[], object]:
        return lambda: actions.save_draft(
            actor=tenant.owner,
            workflow_id=drawn.pk,
            expected_revision=1,
            document={**training(), "name": name},
        )

    outcomes = at_once(tenant, save("one"), save("two"))
    assert sorted(type(one).__name__ for one in outcomes) == ["StaleRevision", "Workflow"]
    assert isinstance(outcomes[0], StaleRevision | Workflow)
    with scope.tenant(tenant.id):
        assert Workflow.objects.get().draft_revision == 2


def test_of_two_commits_at_once_one_finds_nothing_to_commit() -> None:
    tenant = make.tenant("racing")
    drawn = workflow(tenant)

    def commit() -> object:
        return versions.commit_version(actor=tenant.owner, workflow_id=drawn.pk, message="m")

    outcomes = at_once(tenant, commit, commit)
    assert sum(isinstance(one, NothingToCommit) for one in outcomes) == 1
    with scope.tenant(tenant.id):
        assert WorkflowVersion.objects.count() == 1


def test_of_two_snapshots_at_once_there_is_one_row() -> None:
    tenant = make.tenant("racing")
    drawn = workflow(tenant)

    def snapshot() -> object:
        return versions.snapshot_draft(actor=tenant.owner, workflow_id=drawn.pk)

    first, second = at_once(tenant, snapshot, snapshot)
    assert first == second
