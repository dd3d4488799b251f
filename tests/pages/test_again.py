"""The page that goes on from a finished run: retry, fork, consent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.executions.models import Run
from apps.tenancy import scope
from tests.factories import tenancy as make
from tests.graphql.test_repeating import (
    _types,  # noqa: F401 - a fixture
    ended,
)
from tests.pages.conftest import signed_in

pytestmark = pytest.mark.django_db(transaction=True)


def key_in(page: str) -> str:
    found = re.search(r'name="idempotency_key" value="([^"]+)"', page)
    assert found is not None
    return found.group(1)


def open_at(client: Client, acme: make.Tenant, run: Run, **query: str) -> tuple[str, str]:
    address = reverse("executions:again", args=[acme.organization.slug, run.pk])
    answer = client.get(address, query)
    assert answer.status_code == 200
    return address, answer.content.decode()


def test_a_fork_shows_what_arrived_and_asks_for_each_effect(acme: make.Tenant) -> None:
    run = ended(acme)
    client = signed_in(acme.owner.user_id)
    address, page = open_at(client, acme, run, **{"from": "b"})
    assert "&quot;value&quot;: &quot;a&quot;" in page
    given: dict[str, Any] = {"idempotency_key": key_in(page), "from": "b", "input": '{"value": 1}'}
    refused = client.post(address, given)
    assert refused.status_code == 422
    assert 'name="confirm" value="b"' in refused.content.decode()
    answer = client.post(address, {**given, "confirm": "b"})
    assert answer.status_code == 302
    with scope.tenant(acme.id):
        forked = Run.objects.exclude(pk=run.pk).get()
    assert str(forked.pk) in answer["Location"]
    shown = client.get(answer["Location"]).content.decode()
    assert "taken over" in shown
    assert "Runs of this lineage" in shown


def test_a_failed_run_offers_a_retry_and_a_second_click_is_the_same_run(acme: make.Tenant) -> None:
    run = ended(acme, broken="c")
    client = signed_in(acme.owner.user_id)
    shown = client.get(reverse("executions:run", args=[acme.organization.slug, run.pk]))
    assert "Retry</a>" in shown.content.decode()
    address, page = open_at(client, acme, run)
    given = {"idempotency_key": key_in(page)}
    first, second = (client.post(address, given)["Location"] for _ in range(2))
    assert first == second
    with scope.tenant(acme.id):
        assert Run.objects.count() == 2


def test_what_cannot_go_on_says_why(acme: make.Tenant) -> None:
    run = ended(acme)
    client = signed_in(acme.owner.user_id)
    address, page = open_at(client, acme, run)
    answer = client.post(address, {"idempotency_key": key_in(page)})
    assert answer.status_code == 422
    assert "Everything succeeded" in answer.content.decode()
    fork = {"idempotency_key": key_in(page), "from": "c"}
    for text in ("[1]", "{nonsense"):
        assert client.post(address, {**fork, "input": text}).status_code == 422
    assert client.get(address, {"from": "nowhere"}).status_code == 200
