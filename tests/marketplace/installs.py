"""Plans and installs as the tests call them."""

from __future__ import annotations

import uuid
from typing import Any

from apps.marketplace import actions
from apps.marketplace.models import Installation, Listing
from apps.marketplace.planning import Choices, Plan, plan_install
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.vault.actions import set_secret
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows.models import Workflow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant

TARGET = {"name": "target", "schema": {"type": "string"}, "default": "mpg"}
CALL = make.node(
    "test.call",
    id="call",
    url="https://api.example/x",
    headers={"Authorization": "{{ secrets.API_KEY }}"},
)
CALLING = make.document(CALL, parameters=[TARGET])
AGREED = frozenset({"egress:api.example", "secret:API_KEY"})


def plan(of: Tenant, listing: Listing, choices: Choices | None = None) -> Plan:
    with scope.tenant(of.id, actor=of.owner):
        return plan_install(listing_id=listing.pk, environment_kind="DEVELOPMENT", choices=choices)


def install(
    of: Tenant, listing_id: uuid.UUID, *, actor: Actor | None = None, key: str | None = None,
    environment: str = "DEVELOPMENT", **choices: Any,
) -> Installation:  # fmt: skip
    with scope.tenant(of.id, actor=actor or of.owner):
        return actions.install_workflow(
            actor=actor or of.owner,
            listing_id=listing_id,
            environment_kind=environment,
            choices=Choices(**choices),
            idempotency_key=key,
        )


def nothing_written(of: Tenant) -> bool:
    kinds = (Installation, Workflow, WorkflowVersion, Deployment)
    with scope.tenant(of.id):
        return not any(kind.objects.exists() for kind in kinds)


def secret(of: Tenant, name: str = "API_KEY") -> None:
    with scope.tenant(of.id, actor=of.owner):
        set_secret(
            actor=of.owner,
            environment_id=of.environments["DEVELOPMENT"].pk,
            name=name,
            value="the value of it",
        )
