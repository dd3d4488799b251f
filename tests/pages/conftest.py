"""A signed-in visitor, and an organization with one of everything to look at."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from apps.executions.actions import start_run
from apps.kit.graphql.nodes import global_id
from apps.kit.ids import uuid7
from apps.marketplace.actions import install_workflow
from apps.marketplace.planning import Choices
from apps.tenancy import scope
from apps.tenancy.actions import create_api_key
from apps.tenancy.actors import Actor
from apps.tenancy.models import User
from apps.vault.actions import save_connection, set_secret, set_variable
from apps.versions.actions import commit_version, request_approval
from apps.versions.models import Approval, ApprovalKind
from apps.workflows.actions import create_workflow, save_draft
from apps.workflows.graph import catalogue
from tests.factories import marketplace as market
from tests.factories.tenancy import Tenant
from tests.factories.tenancy import staff as make_staff
from tests.marketplace import node_types

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(scope="session", autouse=True)
def _node_types() -> None:
    catalogue.register_package(node_types)


def signed_in(user_id: Any) -> Client:
    """A client with the session of a person."""
    client = Client()
    client.force_login(User.objects.get(pk=user_id), backend=BACKEND)
    return client


@pytest.fixture
def owner(acme: Tenant) -> Client:
    """Acme's owner."""
    return signed_in(acme.owner.user_id)


@pytest.fixture
def stranger(globex: Tenant) -> Client:
    """Globex's owner, who is nobody in Acme."""
    return signed_in(globex.owner.user_id)


@pytest.fixture
def staff() -> Callable[[], Client]:
    """Platform staff."""
    return lambda: signed_in(make_staff().user_id)


@dataclass(frozen=True)
class Furnished:
    """The ids of what Acme has."""

    slug: str
    workflow: uuid.UUID
    version: uuid.UUID
    second: uuid.UUID
    run: uuid.UUID
    listing: uuid.UUID
    release: uuid.UUID
    waiting: uuid.UUID
    approval: uuid.UUID
    question: uuid.UUID
    installation: uuid.UUID
    key: uuid.UUID
    publisher: str
    listing_slug: str
    node: str = "say"


FORM = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer", "minimum": 1, "title": "How much"},
        "color": {"enum": ["red", "blue"]},
    },
    "required": ["amount"],
}
DOCUMENT = {
    "schemaVersion": 1,
    "name": "Greeting <b>bold</b>",
    "type": "dataPipeline",
    "description": "Says **hello**. <script>alert(1)</script>",
    "nodes": [
        {"id": "say", "type": "test.text", "name": "Say hello", "configuration": {"text": "Hi"}},
        {"id": "again", "type": "test.text", "configuration": {"text": "{{ parameters.word }}"}},
    ],
    "configuration": {
        "parameters": [
            {"name": "word", "schema": {"type": "string"}, "default": "hello"},
            {"name": "times", "schema": {"type": "integer", "minimum": 1}, "required": True},
        ]
    },
}


def asked(actor: Actor, run_id: uuid.UUID) -> Approval:
    """What a step of the run asks people."""
    return request_approval(
        actor=actor,
        kind=ApprovalKind.RUN_STEP,
        subject=global_id("NodeRun", f"{run_id}/say"),
        title="Pay <b>the</b> invoice?",
        prevent_self_approval=False,
        form={
            "run": str(run_id),
            "path": "say",
            "attempt": 1,
            "instructions": "Look <i>twice</i>.",
            "schema": FORM,
        },
    )


@pytest.fixture
def furnished(acme: Tenant) -> Furnished:
    """Acme with a workflow of two versions, a run, a published listing, and one that waits."""
    shelf = market.published(acme)
    waiting = market.scanned(acme, name="Second thing", version="0.1.0")
    actor = acme.owner
    with scope.tenant(acme.id, actor=actor):
        workflow = create_workflow(actor=actor, document=DOCUMENT)
        first = commit_version(actor=actor, workflow_id=workflow.pk, message="First")
        changed = {**workflow.draft_document, "description": "Says less."}
        changed["nodes"] = [
            {**changed["nodes"][0], "configuration": {"text": "Bye"}},
            *changed["nodes"][1:],
        ]
        save_draft(actor=actor, workflow_id=workflow.pk, expected_revision=1, document=changed)
        second = commit_version(actor=actor, workflow_id=workflow.pk, message="Second")
        run = start_run(actor=actor, workflow_id=workflow.pk, parameters={"times": 2})
        installed = install_workflow(
            actor=actor,
            listing_id=shelf.listing.pk,
            environment_kind="DEVELOPMENT",
            choices=Choices(),
        )
        place = acme.environments["DEVELOPMENT"].pk
        set_secret(actor=actor, environment_id=place, name="TOKEN", value="s3cret-value")
        set_variable(actor=actor, environment_id=place, name="bucket", value={"a": [1]})
        save_connection(
            actor=actor,
            environment_id=place,
            name="warehouse",
            connector_type="postgres",
            settings={"host": "db.example.com"},
            secrets={"password": "TOKEN"},
        )
        key = create_api_key(actor=actor, name="ci", scopes=["workflows:read"]).row
        question = asked(actor, run.pk)
        assert waiting.approval_id is not None
        return Furnished(
            slug=acme.organization.slug,
            workflow=workflow.pk,
            version=first.pk,
            second=second.pk,
            run=run.pk,
            listing=shelf.listing.pk,
            release=shelf.pk,
            waiting=waiting.pk,
            approval=waiting.approval_id,
            question=question.pk,
            installation=installed.pk,
            key=key.pk,
            publisher=shelf.listing.publisher.handle,
            listing_slug=shelf.listing.slug,
        )


def happened(
    tenant: Tenant, run_id: uuid.UUID, *events: tuple[str, str | None, int | None, object]
) -> None:
    """Append to a run's history, as a worker would."""
    with scope.tenant(tenant.id), connection.cursor() as cursor:
        for type_, path, attempt, body in events:
            cursor.execute(
                "INSERT INTO run_event (tenant_id, run_id, seq, type, path, attempt, body, at)"
                " SELECT %s, %s, max(seq) + 1, %s, %s, %s, %s::jsonb, now()"
                " FROM run_event WHERE run_id = %s",
                [tenant.id, run_id, type_, path, attempt, json.dumps(body), run_id],
            )


def nobody() -> uuid.UUID:
    """An id that nothing has."""
    return uuid7()
