"""No page costs a statement per row: each is opened with few rows of everything, then with many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.executions.actions import start_run
from apps.executions.models import Question
from apps.tenancy import scope
from apps.tenancy.actions import create_api_key
from apps.versions.actions import commit_version
from apps.workflows.actions import save_draft
from apps.workflows.models import Workflow
from tests.factories import billing
from tests.factories import marketplace as market
from tests.factories.tenancy import Tenant
from tests.graphql.filled import fill
from tests.pages.conftest import DOCUMENT, Furnished
from tests.pages.test_every_page import (
    PAGES,
    STAFF_PAGES,
    address,
)
from tests.pages.test_every_page import _argument as argument
from tests.pages.test_every_page import _paths as every_path

pytestmark = pytest.mark.django_db

FEW, MANY = 2, 8


def _statements(client: Client, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200
    return [one["sql"] for one in seen.captured_queries]


def _more(tenant: Tenant, furnished: Furnished, tag: str, rows: int) -> None:
    """That many more of everything that a page lists, below the furnished workflow too."""
    fill(tenant, tag, rows)
    actor = tenant.owner
    for number in range(rows):
        billing.entry(tenant)
        market.scanned(tenant, name=f"{tag} waiting {number}", version="0.1.0")
        with scope.tenant(tenant.id, actor=actor):
            create_api_key(actor=actor, name=f"{tag} {number}", scopes=["workflows:read"])
            drawn = Workflow.objects.get(pk=furnished.workflow)
            document = {**DOCUMENT, "description": f"{tag} {number}"}
            save_draft(
                actor=actor,
                workflow_id=drawn.pk,
                expected_revision=drawn.draft_revision,
                document=document,
            )
            commit_version(actor=actor, workflow_id=drawn.pk, message=f"{tag} {number}")
            run = start_run(actor=actor, workflow_id=drawn.pk, parameters={"times": 1})
            Question.objects.create(
                run_id=run.pk,
                workflow_id=drawn.pk,
                path="say",
                attempt=1,
                kind="DOUBT",
                code="STEP_TIMEOUT",
                message=tag,
            )


def test_no_page_costs_a_statement_per_row(
    owner: Client, staff: Callable[[], Client], acme: Tenant, furnished: Furnished
) -> None:
    console = staff()
    visits: list[tuple[Any, str]] = [
        *((owner, address(furnished, name, parts)) for name, parts, _ in PAGES),
        *((console, address(furnished, name, parts)) for name, parts, _ in STAFF_PAGES),
    ]
    # The first visit writes the session.
    owner.get(reverse("executions:overview", args=[furnished.slug]))
    console.get(reverse("marketplace:approvals"))
    _more(acme, furnished, "few", FEW)
    few = {path: _statements(client, path) for client, path in visits}
    _more(acme, furnished, "many", MANY)
    many = {path: _statements(client, path) for client, path in visits}

    growing = {
        path: (len(few[path]), len(many[path]), many[path][-1][:200])
        for path in few
        if len(many[path]) > len(few[path])
    }
    assert growing == {}


# No lists: where one begins, an invitation, the bytes of an object, the schema of documents.
NO_LISTS = {
    "tenancy:start",
    "tenancy:invitation",
    "artifacts:download",
    "workflows:schema",
    "executions:decide",
    "rest:document",
    "rest:run",
}


@pytest.mark.parametrize("name", sorted(every_path()))
def test_every_page_that_can_be_read_is_counted(
    name: str, owner: Client, furnished: Furnished, acme: Tenant
) -> None:
    """What is not among the counted pages only takes forms."""
    counted = {one for one, *_ in (*PAGES, *STAFF_PAGES)} | NO_LISTS
    if name in counted:
        return
    kinds = every_path()[name].pattern.converters
    given = {
        one: acme.owner.user_id if one == "user_id" else argument(furnished, one) for one in kinds
    }
    assert owner.get(reverse(name, kwargs=given)).status_code == 405
