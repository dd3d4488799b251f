"""What a document says of other workflows is held against them when it is frozen."""

from __future__ import annotations

from typing import Any

import pytest

from apps.tenancy import scope
from apps.versions.actions import commit_version, snapshot_draft
from apps.workflows.actions import archive_workflow, create_workflow
from apps.workflows.graph import catalogue
from apps.workflows.graph.callees import SUBWORKFLOW
from apps.workflows.invalid import GraphInvalid
from apps.workflows.models import Workflow
from tests.factories import workflows as make
from tests.factories.graphs import raw
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db
WHOLE = {"name": "n", "schema": {"type": "integer"}, "required": True}


def drawn(tenant: Tenant, *nodes: dict[str, Any], **configuration: Any) -> Workflow:
    with scope.tenant(tenant.id, actor=tenant.owner):
        document = raw(nodes, **configuration)
        return create_workflow(actor=tenant.owner, document=document)


def callee(tenant: Tenant, *parameters: dict[str, Any]) -> Workflow:
    step = {"id": "a", "type": "input.constant", "configuration": {"value": 1}}
    assert catalogue.INSTALLED.get("input.constant", "1") is not None
    return drawn(tenant, step, parameters=list(parameters))


def caller(tenant: Tenant, workflow: object, **given: Any) -> Workflow:
    configuration = {"workflow": str(workflow), **given}
    step = {"id": "sub", "type": SUBWORKFLOW, "configuration": configuration}
    return drawn(tenant, step)


def refused(tenant: Tenant, made: Workflow) -> list[tuple[str, tuple[str, ...]]]:
    """The issues; committing and freezing the draft refuse alike."""
    found = []
    for freeze in (snapshot_draft, commit_version):
        message = {} if freeze is snapshot_draft else {"message": "Now."}
        with (
            scope.tenant(tenant.id, actor=tenant.owner),
            pytest.raises(GraphInvalid) as caught,
        ):
            freeze(actor=tenant.owner, workflow_id=made.pk, **message)
        found.append([(one.code, one.path[3:]) for one in caught.value.issues])
    assert found[0] == found[1]
    return found[0]


def test_an_unknown_workflow_and_one_of_somebody_else_are_the_same(
    acme: Tenant, globex: Tenant
) -> None:
    for named in (make.anybody(), callee(globex).pk, "billing"):
        assert refused(acme, caller(acme, named)) == [("SUBWORKFLOW_UNKNOWN", ("workflow",))]


def test_an_archived_workflow_is_called_by_nobody(acme: Tenant) -> None:
    old = callee(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        archive_workflow(actor=acme.owner, workflow_id=old.pk)
    assert refused(acme, caller(acme, old.pk)) == [("SUBWORKFLOW_ARCHIVED", ("workflow",))]


def test_what_it_gives_must_fit(acme: Tenant) -> None:
    called = callee(acme, WHOLE)
    assert refused(acme, caller(acme, called.pk, parameters={"n": "x", "m": 1})) == [
        ("PARAMETER_UNKNOWN", ("parameters", "m")),
        ("PARAMETER_INVALID", ("parameters", "n")),
    ]
    fits = caller(acme, called.pk, parameters={"n": "{{ 1 + 1 }}"})
    with scope.tenant(acme.id, actor=acme.owner):
        snapshot_draft(actor=acme.owner, workflow_id=fits.pk)


def test_a_pinned_version_is_what_counts(acme: Tenant) -> None:
    called = callee(acme, WHOLE)
    version = make.commit(acme, called)
    missing = caller(acme, called.pk, version="7.0.0")
    assert refused(acme, missing) == [("SUBWORKFLOW_VERSION_UNKNOWN", ("workflow",))]
    bare = caller(acme, called.pk, version=version.version)
    assert refused(acme, bare) == [("PARAMETER_REQUIRED", ("parameters", "n"))]
