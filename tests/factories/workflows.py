"""Workflows in an organization, drawn with the node types of `workflow_nodes`."""

from __future__ import annotations

import uuid
from typing import Any

from apps.kit import events
from apps.tenancy import scope
from apps.tenancy.models import AuditRow
from apps.versions import actions as versions
from apps.versions.models import WorkflowVersion
from apps.workflows import actions
from apps.workflows.graph import catalogue
from apps.workflows.graph.catalogue import Catalogue
from apps.workflows.models import Workflow
from tests.factories.tenancy import Tenant
from tests.factories.workflow_nodes import catalogue as test_types
from tests.factories.workflow_nodes import training


def install_types(monkeypatch: Any) -> Catalogue:
    """Make the installation know the types of the tests, beside those it has."""
    known = Catalogue((*catalogue.all_types(), *test_types()))
    monkeypatch.setattr(catalogue, "INSTALLED", known)
    return known


def workflow(tenant: Tenant, **changed: Any) -> Workflow:
    """A valid workflow of the tenant's owner."""
    with scope.tenant(tenant.id, actor=tenant.owner):
        return actions.create_workflow(actor=tenant.owner, document={**training(), **changed})


def commit(tenant: Tenant, drawn: Workflow, **given: Any) -> WorkflowVersion:
    """A version of it."""
    with scope.tenant(tenant.id, actor=tenant.owner):
        message = given.pop("message", "As drawn.")
        return versions.commit_version(
            actor=tenant.owner, workflow_id=drawn.pk, message=message, **given
        )


def written() -> dict[str, int]:
    """How many rows of each kind the scope in force holds: a refusal leaves them as they are."""
    return {
        "workflows": Workflow.objects.count(),
        "versions": WorkflowVersion.objects.count(),
        "audit": AuditRow.objects.count(),
    }


class Heard:
    """Collects announcements of one type while the test runs."""

    def __init__(self, monkeypatch: Any, event_type: type[events.Event]) -> None:
        self.events: list[Any] = []
        receivers = [*events._receivers[event_type], self.events.append]
        monkeypatch.setitem(events._receivers, event_type, receivers)


def anybody() -> uuid.UUID:
    """An id that nobody has."""
    return uuid.uuid4()
