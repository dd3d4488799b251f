"""Publishing, reviewing, finding and installing on pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.marketplace.models import Installation, Release
from apps.marketplace.search_index import recount_words
from apps.security_scan.actions import run_scan
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.versions.models import Approval
from apps.workflows.models import Workflow
from tests.factories import marketplace as market
from tests.factories.tenancy import Tenant
from tests.pages.conftest import Furnished, signed_in
from tests.pages.reading import at, hidden, rows

pytestmark = pytest.mark.django_db


def test_a_workflow_is_published_reviewed_found_and_installed(
    owner: Client,
    stranger: Client,
    staff: Callable[[], Client],
    acme: Tenant,
    globex: Tenant,
    furnished: Furnished,
) -> None:
    path = at("marketplace:publish", "acme", furnished.workflow)
    form = {
        "idempotency_key": hidden(owner.get(path).content.decode(), "idempotency_key"),
        "source": str(furnished.second),
        "version": "1.0.0",
        "name": "Hello world",
        "category": "DATA_PIPELINE",
        "tags": "greeting, Hello",
        "description": "Says hello.",
        "license": "MIT",
        "visibility": "PUBLIC",
        "channel": "STABLE",
        "platform": "*",
    }
    sent = owner.post(path, form)
    [release] = rows(acme, Release, version="1.0.0", document__name="Greeting <b>bold</b>")
    assert sent["Location"] == at("marketplace:release", "acme", release.pk)
    _scan(acme, release)

    console = staff()
    [approval] = rows(acme, Approval, pk=_fresh(acme, release).approval_id)
    refused = console.post(at("marketplace:approval", approval.pk), {"decision": "reject"})
    assert refused.status_code == 422
    assert _fresh(acme, release).status == "AWAITING_APPROVAL"
    console.post(at("marketplace:approval", approval.pk), {"decision": "approve"})
    assert _fresh(acme, release).status == "PUBLISHED"

    stranger.get(at("executions:overview", "globex"))
    found = stranger.get(at("marketplace:search", q="hello")).content.decode()
    assert "Hello world" in found
    install = at("marketplace:install", "globex", release.listing_id)
    plan = stranger.get(install).content.decode()
    assert "What will be written" in plan
    answer = stranger.post(
        install,
        {
            "idempotency_key": hidden(plan, "idempotency_key"),
            "environment": "DEVELOPMENT",
            "version": "1.0.0",
            "workflow_name": "Our hello",
            "parameter-word": "moin",
            "parameter-times": "2",
        },
    )
    [installed] = rows(globex, Installation)
    assert answer["Location"] == at("marketplace:installation", "globex", installed.pk)
    assert installed.configuration["parameters"] == {"word": "moin", "times": 2}
    [workflow] = rows(globex, Workflow)
    assert workflow.name == "Our hello"


def _scan(of: Tenant, release: Release) -> None:
    with scope.tenant(of.id, actor=Actor.system(of.id, "test")):
        assert release.scan_id is not None
        run_scan(scan_id=release.scan_id)


def _fresh(of: Tenant, release: Release) -> Release:
    found: Release = rows(of, Release, pk=release.pk)[0]
    return found


def test_an_install_without_consent_writes_nothing(
    stranger: Client, acme: Tenant, globex: Tenant
) -> None:
    drawn = market.document(market.node("test.code", code="1"))
    listing = market.listing(acme, drawn)
    path = at("marketplace:install", "globex", listing.pk)
    plan = stranger.get(path).content.decode()
    answer = stranger.post(
        path,
        {
            "idempotency_key": hidden(plan, "idempotency_key"),
            "environment": "DEVELOPMENT",
            "version": "1.0.0",
            "workflow_name": "X",
        },
    )
    assert answer.status_code == 422
    assert "Agree to this" in answer.content.decode()
    assert rows(globex, Installation) == []
    assert rows(globex, Workflow) == []


def test_a_missing_secret_is_named_before_and_refused_after(
    stranger: Client, acme: Tenant, globex: Tenant
) -> None:
    call = market.node(
        "test.call", url="https://api.example.com/", headers={"X-Key": "{{ secrets.API_KEY }}"}
    )
    listing = market.listing(acme, market.document(call))
    path = at("marketplace:install", "globex", listing.pk)
    plan = stranger.get(path).content.decode()
    assert "API_KEY" in plan
    form = {
        "idempotency_key": hidden(plan, "idempotency_key"),
        "environment": "DEVELOPMENT",
        "version": "1.0.0",
        "workflow_name": "X",
        **{f"permission-{number}": "on" for number in range(9)},
    }
    answer = stranger.post(path, form)
    assert answer.status_code == 422
    assert "has no secret API_KEY" in answer.content.decode()
    assert rows(globex, Installation) == []


def test_a_dialog_is_a_part_of_a_page(stranger: Client, acme: Tenant, globex: Tenant) -> None:
    listing = market.listing(acme)
    path = at("marketplace:install", "globex", listing.pk)
    part = stranger.get(path, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "dialog-head" in part


def test_a_misspelling_finds_what_was_meant_and_says_so(client: Client, acme: Tenant) -> None:
    market.listing(acme, name="Quarantine of rows")
    with scope.platform():
        recount_words()
    html = client.get(at("marketplace:search", q="quarentine")).content.decode()
    assert "Nothing is spelled “quarentine”" in html
    assert ">Quarantine of rows</a>" in html


@pytest.mark.parametrize(
    "query",
    ["category=NOPE", "sort=NOPE", "price=NOPE", "q=%00", "tag=%00", "after=forged", "before=x"],
)
def test_an_address_with_nonsense_is_no_error_of_ours(client: Client, query: str, db: None) -> None:
    assert client.get(f"/marketplace/?{query}").status_code in {200, 400}


def test_a_filter_can_be_taken_back(client: Client, acme: Tenant) -> None:
    market.listing(acme)
    html = client.get(at("marketplace:search", tag="cars")).content.decode()
    assert 'aria-current="true"' in html
    assert "clear all" in html


def test_a_release_is_withdrawn_by_its_publisher(
    owner: Client, acme: Tenant, furnished: Furnished
) -> None:
    page = at("marketplace:release", "acme", furnished.release)
    assert "Withdraw this release" in owner.get(page).content.decode()
    path = at("marketplace:withdraw", "acme", furnished.release)
    assert owner.post(path, {"severity": "HIGH", "reason": " "}).status_code == 422
    assert [one.status for one in rows(acme, Release, pk=furnished.release)] == ["PUBLISHED"]

    owner.post(path, {"severity": "HIGH", "reason": "It drops rows."})

    [gone] = rows(acme, Release, pk=furnished.release)
    assert (gone.status, gone.yank_reason, gone.yank_severity) == (
        "YANKED",
        "It drops rows.",
        "HIGH",
    )
    html = owner.get(page).content.decode()
    assert "It drops rows." in html
    assert "Withdraw this release" not in html


def test_a_viewer_withdraws_nothing(acme: Tenant, viewer: Any, furnished: Furnished) -> None:
    client = signed_in(viewer.user_id)
    page = at("marketplace:release", "acme", furnished.release)
    assert "Withdraw" not in client.get(page).content.decode()
    path = at("marketplace:withdraw", "acme", furnished.release)
    assert client.post(path, {"severity": "HIGH", "reason": "Mine."}).status_code == 403
    assert [one.status for one in rows(acme, Release, pk=furnished.release)] == ["PUBLISHED"]
