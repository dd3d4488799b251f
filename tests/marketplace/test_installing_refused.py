"""Installing: what is refused, by name, with nothing written."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.kit.errors import (
    ErrorCode,
    Forbidden,
    NotFound,
    QuotaExceeded,
    Refusal,
)
from apps.marketplace import actions
from apps.marketplace.errors import DigestMismatch, Incompatible, PaymentRequired, SecretsMissing
from apps.marketplace.submission import Pricing
from apps.marketplace.terms import PricingModel, Risk, Visibility
from apps.tenancy import scope
from apps.tenancy.actors import Role
from apps.tenancy.limits import Metric, set_limits
from apps.vault.actions import save_connection
from apps.workflows.graph import catalogue
from config.supervisor import roles
from tests.database import url
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, member
from tests.marketplace.installs import AGREED, CALLING, TARGET, install, nothing_written, secret


def test_without_the_secret_it_is_refused(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, CALLING)
    with pytest.raises(SecretsMissing) as refused:
        install(globex, listing.pk, accepted_permissions=AGREED)
    assert refused.value.code is ErrorCode.SECRET_MISSING
    assert "API_KEY" in refused.value.message
    assert nothing_written(globex)


def test_permissions_must_be_accepted_one_by_one(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, CALLING)
    secret(globex)
    with pytest.raises(Refusal) as refused:
        install(globex, listing.pk, accepted_permissions=frozenset({"secret:API_KEY"}))
    assert refused.value.code is ErrorCode.REQUIRED
    assert "egress:api.example" in refused.value.message
    assert refused.value.path == ("configuration", "acceptedPermissions")
    assert nothing_written(globex)


def test_a_licence_that_is_not_open_must_be_accepted(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, license="Proprietary")
    with pytest.raises(Refusal) as refused:
        install(globex, listing.pk)
    assert refused.value.code is ErrorCode.LICENSE_NOT_ACCEPTED
    assert nothing_written(globex)
    assert install(globex, listing.pk, accept_license=True).status == "ACTIVE"


def tamper(of: Tenant, release: Any, change: str) -> None:
    """As whoever owns the database could: the trigger is put aside."""
    with roles.connect(url("owner")) as owner, owner.transaction():
        owner.execute("SELECT set_config('app.tenant', %s, true)", (str(of.id),))
        owner.execute("ALTER TABLE marketplace_release DISABLE TRIGGER marketplace_release_frozen")
        done = owner.execute(
            f"UPDATE marketplace_release SET {change} WHERE id = %s", (release.pk,)
        )
        owner.execute("ALTER TABLE marketplace_release ENABLE TRIGGER marketplace_release_frozen")
        assert done.rowcount == 1


@pytest.mark.django_db(transaction=True)
def test_a_tampered_document_is_refused(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme)
    tamper(acme, release, "document = jsonb_set(document, '{description}', '\"changed\"')")
    with pytest.raises(DigestMismatch):
        install(globex, release.listing_id)
    assert nothing_written(globex)


@pytest.mark.django_db(transaction=True)
def test_tampered_requirements_are_refused(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme, CALLING)
    tamper(acme, release, "requirements = jsonb_set(requirements, '{permissions}', '[]')")
    secret(globex)
    with pytest.raises(DigestMismatch):
        install(globex, release.listing_id)
    assert nothing_written(globex)


@pytest.mark.parametrize(
    "change",
    [
        "document = jsonb_set(document, '{description}', '\"changed\"')",
        "requirements = jsonb_set(requirements, '{permissions}', '[]')",
        "digest = 'sha256:0'",
        "version = '9.9.9'",
        "tenant_id = gen_random_uuid()",
    ],
)
def test_a_release_that_was_handed_in_is_frozen(acme: Tenant, change: str) -> None:
    release = make.published(acme, CALLING)
    with (
        scope.tenant(acme.id),
        pytest.raises(IntegrityError, match="frozen"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE marketplace_release SET {change} WHERE id = %s", [release.pk])


def test_a_release_is_never_deleted(acme: Tenant) -> None:
    release = make.published(acme)
    with (
        scope.tenant(acme.id),
        pytest.raises(IntegrityError, match="frozen"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM marketplace_release WHERE id = %s", [release.pk])


def test_a_paid_listing_asks_for_payment(acme: Tenant, globex: Tenant) -> None:
    priced = Pricing(model=PricingModel.ONE_TIME, price_minor=4_900)
    listing = make.listing(acme, pricing=priced)
    with pytest.raises(PaymentRequired):
        install(globex, listing.pk)
    assert nothing_written(globex)


def test_an_unfit_platform_is_incompatible(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, platform=">=99")
    with pytest.raises(Incompatible) as refused:
        install(globex, listing.pk)
    assert [one.kind for one in refused.value.obstacles] == ["PLATFORM"]
    assert nothing_written(globex)


def test_a_node_type_that_is_gone_is_incompatible(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = make.listing(acme)
    monkeypatch.setattr(catalogue, "INSTALLED", catalogue.Catalogue())
    with pytest.raises(Incompatible) as refused:
        install(globex, listing.pk)
    assert [one.kind for one in refused.value.obstacles] == ["NODE_TYPE"]
    assert nothing_written(globex)


@pytest.mark.parametrize(
    ("choices", "path"),
    [
        ({"parameters": {"nobody": 1}}, ("configuration", "parameters", "nobody")),
        ({"parameters": {"target": 3}}, ("configuration", "parameters", "target")),
        ({"resources": {"cores": 3}}, ("configuration", "resources", "cores")),
        ({"bindings": {"NOBODY": uuid.uuid4()}}, ("configuration", "connectionBindings")),
        ({"environment_id": uuid.uuid4()}, ("configuration", "namedEnvironmentId")),
        ({"version": "9.9.9"}, ("configuration", "version")),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(
    acme: Tenant, globex: Tenant, choices: dict[str, Any], path: tuple[str, ...]
) -> None:
    listing = make.listing(acme, make.document(parameters=[TARGET]))
    with pytest.raises(Refusal) as refused:
        install(globex, listing.pk, **choices)
    assert refused.value.path == path
    assert nothing_written(globex)


def test_another_tenants_connection_cannot_be_bound(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, CALLING)
    secret(acme)
    with scope.tenant(acme.id, actor=acme.owner):
        theirs = save_connection(
            actor=acme.owner,
            environment_id=acme.environments["DEVELOPMENT"].pk,
            name="api",
            connector_type="http",
            settings={},
            secrets={"key": "API_KEY"},
        )
    with pytest.raises(NotFound):
        install(globex, listing.pk, accepted_permissions=AGREED, bindings={"API_KEY": theirs.pk})
    assert nothing_written(globex)


def test_over_quota_nothing_is_written(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    with scope.tenant(globex.id):
        set_limits({Metric.WORKFLOWS: 0})
    with pytest.raises(QuotaExceeded):
        install(globex, listing.pk)
    assert nothing_written(globex)


def test_an_unpublished_listing_is_as_absent_as_a_random_one(acme: Tenant, globex: Tenant) -> None:
    hidden = make.scanned(acme).listing_id
    private = make.listing(acme, name="Private one", visibility=Visibility.PRIVATE).pk
    sentences = set()
    for listing_id in (hidden, private, uuid.uuid4()):
        with pytest.raises(NotFound) as refused:
            install(globex, listing_id)
        sentences.add((refused.value.message, refused.value.path))
    assert len(sentences) == 1
    assert nothing_written(globex)


def test_a_yanked_version_is_refused_and_the_latest_goes_on(acme: Tenant, globex: Tenant) -> None:
    first = make.published(acme)
    second = make.published(acme, version="1.1.0")
    with scope.tenant(acme.id, actor=acme.owner):
        actions.yank_release(
            actor=acme.owner, release_id=second.pk, reason="Bug.", severity=Risk.HIGH
        )
    with pytest.raises(Refusal) as refused:
        install(globex, first.listing_id, version="1.1.0")
    assert refused.value.code is ErrorCode.YANKED
    assert nothing_written(globex)
    assert install(globex, first.listing_id).version == "1.0.0"


def test_a_viewer_may_not_install(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    looker = member(globex, role=Role.VIEWER)
    with pytest.raises(Forbidden):
        install(globex, listing.pk, actor=looker)
    assert nothing_written(globex)
