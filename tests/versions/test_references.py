"""What drafts and versions still need is no garbage."""

from __future__ import annotations

from apps.artifacts import roots
from apps.tenancy import scope
from apps.versions.store import artifacts_in_versions
from apps.workflows.actions import save_draft
from apps.workflows.store import artifacts_in_drafts
from tests.factories.tenancy import Tenant
from tests.factories.workflow_nodes import training
from tests.factories.workflows import commit, workflow

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "f" * 64


def naming(digest: str) -> dict[str, object]:
    reference = {"$artifact": digest, "mediaType": "text/csv", "bytes": 1}
    return {"configuration": {**training()["configuration"], "variables": {"rows": reference}}}


def test_artifacts_of_drafts_and_versions_are_named(acme: Tenant, globex: Tenant) -> None:
    drawn = workflow(acme, **naming(OLD))
    commit(acme, drawn)
    with scope.tenant(acme.id, actor=acme.owner):
        document = {**training(), **naming(NEW)}
        save_draft(actor=acme.owner, workflow_id=drawn.pk, expected_revision=1, document=document)
        assert artifacts_in_drafts() == [NEW]
        assert artifacts_in_versions() == [OLD]
        assert {OLD, NEW} <= roots.referenced()
    with scope.tenant(globex.id):
        assert artifacts_in_drafts() == artifacts_in_versions() == []


def test_garbage_collection_asks_both() -> None:
    assert {"drafts", "versions"} <= set(roots.registered())
