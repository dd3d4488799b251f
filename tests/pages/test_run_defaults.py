"""The page and the API that say what handles failed runs."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.executions.actions.handling import default_handler
from apps.kit.graphql.nodes import global_id
from apps.tenancy import scope
from tests.factories import workflows as make
from tests.factories.tenancy import Tenant
from tests.graphql.calls import caller
from tests.pages.conftest import Furnished

pytestmark = pytest.mark.django_db
SET = """mutation($id: ID) { setErrorHandler(workflowId: $id) {
  errorHandler { id } errors { code path } } }"""


def test_the_page_sets_the_handler(owner: Client, acme: Tenant, furnished: Furnished) -> None:
    address = reverse("executions:defaults", args=[furnished.slug])
    assert "Error handler" in owner.get(address).content.decode()
    answer = owner.post(address, {"workflow_id": str(furnished.workflow)})
    assert answer.status_code == 302
    with scope.tenant(acme.id):
        assert str(default_handler()) == str(furnished.workflow)
    assert owner.post(address, {"workflow_id": str(make.anybody())}).status_code == 422


def test_the_api_sets_the_handler(acme: Tenant, furnished: Furnished) -> None:
    api = caller(acme)
    handler = global_id("Workflow", furnished.workflow)
    done = api.data(SET, id=handler)["setErrorHandler"]
    assert done == {"errorHandler": {"id": handler}, "errors": []}
    assert api.data("{ tenant { errorHandler { id } } }")["tenant"]["errorHandler"] == {
        "id": handler
    }
    unknown = api.data(SET, id=global_id("Workflow", make.anybody()))["setErrorHandler"]
    assert [error["code"] for error in unknown["errors"]] == ["NOT_FOUND"]
    assert api.data(SET, id=None)["setErrorHandler"]["errorHandler"] is None
