"""One thing of every kind in an organization, each with a word that no other organization uses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection

from apps.artifacts.models import Artifact
from apps.billing.models import UsageEntry
from apps.executions.actions import start_run
from apps.executions.models import Question, QuestionKind
from apps.kit.graphql.nodes import global_id
from apps.kit.ids import uuid7
from apps.marketplace.actions import install_workflow
from apps.marketplace.models import Publisher
from apps.marketplace.planning import Choices
from apps.tenancy import scope
from apps.tenancy.actions import create_api_key, invite_member
from apps.tenancy.models import AuditRow, Environment
from apps.tenancy.models.tenant_model import TenantModel
from apps.versions.actions import commit_version, deploy_version
from apps.versions.actions.approvals import request_approval
from apps.versions.models import ApprovalKind
from apps.workflows.actions import create_workflow
from tests.factories import artifacts, billing, marketplace, vault
from tests.factories import tenancy as make


@dataclass(frozen=True)
class Populated:
    """An organization and the key of one object of every type that has an id."""

    tenant: make.Tenant
    word: str
    keys: dict[str, str]
    # On the shelf for everybody; the listing among the keys is still hidden.
    shelf: str

    def gid(self, type_name: str) -> str:
        """The API's id of the object of this type; a digest is its own."""
        return shown(type_name, self.keys[type_name])


def shown(type_name: str, key: str) -> str:
    """A key as a client sends it."""
    return key if type_name == "digest" else global_id(type_name, key)


def drawing(word: str, name: str = "private") -> dict[str, Any]:
    """A document of one node that needs nothing."""
    drawn = marketplace.document(marketplace.node("input.constant", id="step", value={"is": word}))
    return {**drawn, "name": f"{word} {name}"}


def populate(slug: str) -> Populated:
    """Found the organization and fill it through the product's own actions."""
    tenant = make.tenant(slug)
    word = f"secretof{slug}"
    keys: dict[str, Any] = {
        "Tenant": tenant.id,
        "User": tenant.owner.user_id,
        "DeploymentEnvironment": tenant.environments["DEVELOPMENT"].pk,
    }
    keys["Connection"] = vault.connection(tenant, name=word).pk
    vault.secret(tenant, name=f"{word}_SECRET".upper())
    vault.variable(tenant, name=word, value=word)
    keys["digest"] = artifacts.artifact(tenant, word.encode()).digest
    billing.entry(tenant)
    with scope.tenant(tenant.id, actor=tenant.owner):
        keys |= _own(tenant, word)
    hidden = marketplace.scanned(tenant, drawing(word, "hidden"), name=f"{word} hidden")
    keys["MarketplaceWorkflow"], keys["ListingVersion"] = hidden.listing_id, hidden.pk
    shelf = marketplace.listing(tenant, drawing(slug, "public"), name=f"{slug} public")
    with scope.tenant(tenant.id, actor=tenant.owner):
        installation = install_workflow(
            actor=tenant.owner,
            listing_id=shelf.pk,
            environment_kind="DEVELOPMENT",
            choices=Choices(workflow_name=f"{word} installed", accept_license=True),
        )
        keys["Installation"] = installation.pk
        keys["Artifact"] = Artifact.objects.get().pk
        keys["Author"] = Publisher.objects.get(tenant_id=tenant.id).pk
        keys["UsageEntry"] = UsageEntry.objects.get().pk
    return Populated(
        tenant=tenant,
        word=word,
        keys={name: str(key) for name, key in keys.items()},
        shelf=str(shelf.pk),
    )


def _own(tenant: make.Tenant, word: str) -> dict[str, Any]:
    actor = tenant.owner
    drawn = create_workflow(actor=actor, document=drawing(word))
    version = commit_version(actor=actor, workflow_id=drawn.pk, message=f"{word} first")
    deploy_version(actor=actor, version_id=version.pk, environment=_development())
    run = start_run(actor=actor, workflow_id=drawn.pk)
    Question.objects.create(
        run_id=run.pk,
        workflow_id=drawn.pk,
        path="step",
        attempt=1,
        kind=QuestionKind.ESCALATION,
        code="STEP_TIMEOUT",
        message=f"{word} is late",
    )
    approval = request_approval(
        actor=actor,
        kind=ApprovalKind.VERSION_PUBLISH,
        subject=global_id("WorkflowVersion", version.pk),
        title=f"{word} question",
    )
    issued = create_api_key(actor=actor, name=f"{word} key", scopes=["workflows:read"])
    invite_member(actor=actor, email=f"{word}@example.com", role="viewer")
    return {
        "Workflow": drawn.pk,
        "WorkflowVersion": version.pk,
        "Execution": run.pk,
        "NodeRun": f"{run.pk}/step",
        "ApprovalRequest": approval.pk,
        "ApiKey": issued.row.pk,
        "AuditEvent": AuditRow.objects.order_by("-at").values_list("pk", flat=True)[0],
    }


def _development() -> Any:
    return Environment.objects.get(kind="DEVELOPMENT").pk


def random_key(type_name: str) -> str:
    """A key of the right shape that nothing has."""
    match type_name:
        case "NodeRun":
            return f"{uuid7()}/step"
        case "digest":
            return "sha256:" + hashlib.sha256(uuid7().bytes).hexdigest()
        case _:
            return str(uuid7())


def fingerprint(tenant: make.Tenant) -> str:
    """All rows of the organization, in one hash: whatever a stranger does, it stays."""
    digest = hashlib.sha256()
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        for model in apps.get_models():
            if issubclass(model, TenantModel):
                table = model._meta.db_table
                cursor.execute(f"SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM {table} t")
                digest.update(f"{table} {cursor.fetchone()}".encode())
    return digest.hexdigest()
