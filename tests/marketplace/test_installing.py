"""Plan and install: what is shown before, what is written after, and every refusal by name."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from apps.kit.errors import (
    ErrorCode,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    QuotaExceeded,
    Refusal,
)
from apps.marketplace import actions
from apps.marketplace.errors import DigestMismatch, Incompatible, PaymentRequired, SecretsMissing
from apps.marketplace.models import FirstSuccessfulRun, Installation, Listing, ListingStatistics
from apps.marketplace.planning import Choices, Plan, plan_install
from apps.marketplace.store import artifacts_in_releases
from apps.marketplace.submission import Pricing
from apps.marketplace.terms import Channel, PricingModel, Risk, Visibility
from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.limits import Metric, set_limits
from apps.tenancy.models import AuditRow
from apps.vault.actions import save_connection, set_secret
from apps.versions.models import Deployment, WorkflowVersion
from apps.workflows.graph import catalogue
from apps.workflows.models import Workflow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant, member

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


def test_a_plan_tells_everything_and_writes_nothing(acme: Tenant, globex: Tenant) -> None:
    shown = plan(globex, make.listing(acme, CALLING))
    assert shown.release.version == "1.0.0"
    assert {one.key for one in shown.permissions} == AGREED
    assert [slot.slot for slot in shown.missing_slots] == ["API_KEY"]
    assert shown.requirements.parameters["properties"] == {
        "target": {"type": "string", "default": "mpg"}
    }
    assert shown.is_compatible
    assert nothing_written(globex)


def test_a_plan_names_variables_nobody_has_set(acme: Tenant, globex: Tenant) -> None:
    drawn = make.document(
        make.node("test.text", text="{{ variables.region }} {{ variables.known }}"),
        variables={"known": "x"},
    )
    assert plan(globex, make.listing(acme, drawn)).missing_variables == ("region",)


def test_an_installed_workflow_is_the_installers_own(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    installation = install(globex, listing.pk)
    with scope.tenant(globex.id):
        workflow = Workflow.objects.get()
        assert installation.workflow_id == workflow.pk
        assert workflow.name == "Cars ETL with quarantine"
        deployment = Deployment.objects.get()
        assert deployment.environment_id == globex.environments["DEVELOPMENT"].pk
        assert deployment.version.version == "1.0.0"
        assert installation.installed_hash == deployment.version.content_hash
        assert (installation.publisher_tenant_id, installation.status) == (acme.id, "ACTIVE")
        assert AuditRow.objects.filter(action="marketplace.install").exists()
    with scope.tenant(acme.id):
        assert not Workflow.objects.exists()
        assert not Installation.objects.exists()


def test_an_override_becomes_the_default_of_the_installed_workflow(
    acme: Tenant, globex: Tenant
) -> None:
    listing = make.listing(acme, make.document(parameters=[TARGET]))
    install(globex, listing.pk, parameters={"target": "price"}, workflow_name="Our cars")
    with scope.tenant(globex.id):
        workflow = Workflow.objects.get()
        (parameter,) = workflow.draft_document["configuration"]["parameters"]
        assert (workflow.name, parameter["default"]) == ("Our cars", "price")


def test_the_environment_is_chosen(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    install(globex, listing.pk, environment="PRODUCTION")
    with scope.tenant(globex.id):
        assert Deployment.objects.get().environment.kind == "PRODUCTION"
        assert Workflow.objects.get().status == "PUBLISHED"


def test_a_set_secret_opens_the_way(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, CALLING)
    secret(globex)
    assert plan(globex, listing).missing_slots == ()
    assert install(globex, listing.pk, accepted_permissions=AGREED).status == "ACTIVE"


def test_a_slot_is_bound_to_a_connection(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, CALLING)
    secret(globex, "OUR_KEY")
    with scope.tenant(globex.id, actor=globex.owner):
        bound = save_connection(
            actor=globex.owner,
            environment_id=globex.environments["DEVELOPMENT"].pk,
            name="api",
            connector_type="http",
            settings={},
            secrets={"key": "OUR_KEY"},
        )
    install(globex, listing.pk, accepted_permissions=AGREED, bindings={"API_KEY": bound.pk})
    with scope.tenant(globex.id):
        (node,) = Workflow.objects.get().draft_document["nodes"]
        assert node["configuration"]["headers"] == {"Authorization": "{{ secrets.OUR_KEY }}"}


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


def test_a_tampered_document_is_refused(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE marketplace_release SET document = jsonb_set(document, '{description}',"
            " '\"changed\"') WHERE id = %s",
            [release.pk],
        )
    with pytest.raises(DigestMismatch):
        install(globex, release.listing_id)
    assert nothing_written(globex)


def test_tampered_requirements_are_refused(acme: Tenant, globex: Tenant) -> None:
    release = make.published(acme, CALLING)
    with scope.tenant(acme.id), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE marketplace_release SET requirements = jsonb_set(requirements,"
            " '{permissions}', '[]') WHERE id = %s",
            [release.pk],
        )
    secret(globex)
    with pytest.raises(DigestMismatch):
        install(globex, release.listing_id)
    assert nothing_written(globex)


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


def test_channels_offer_what_they_say(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    make.published(acme, version="2.0.0-beta.1", channel=Channel.BETA)
    assert plan(globex, listing).release.version == "1.0.0"
    beta = plan(globex, listing, Choices(channel=Channel.BETA))
    assert beta.release.version == "2.0.0-beta.1"


def test_a_viewer_may_not_install(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    looker = member(globex, role=Role.VIEWER)
    with pytest.raises(Forbidden):
        install(globex, listing.pk, actor=looker)
    assert nothing_written(globex)


def test_a_key_that_may_only_install_installs(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    key = globex.owner.narrowed(
        frozenset({Permission.MARKETPLACE_INSTALL}), api_key_id=uuid.uuid4()
    )
    assert install(globex, listing.pk, actor=key).status == "ACTIVE"


def test_the_same_request_again_installs_once(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    first = install(globex, listing.pk, key="k1")
    again = install(globex, listing.pk, key="k1")
    assert first.pk == again.pk
    with scope.tenant(globex.id):
        assert Workflow.objects.count() == 1
    with pytest.raises(IdempotencyMismatch):
        install(globex, listing.pk, key="k1", workflow_name="Another")


def test_an_installation_points_at_a_release_that_exists(acme: Tenant, globex: Tenant) -> None:
    installation = install(globex, make.listing(acme).pk)
    with scope.tenant(globex.id), pytest.raises(DatabaseError), transaction.atomic():
        Installation.objects.filter(pk=installation.pk).update(release_id=uuid.uuid4())


def test_a_download_is_a_tenants_first_successful_run(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    theirs = install(globex, listing.pk)
    own = install(acme, listing.pk)
    with scope.tenant(globex.id):
        first = [
            actions.count_first_run(workflow_id=theirs.workflow_id, run_id=uuid.uuid4())
            for _ in range(3)
        ]
    with scope.tenant(acme.id):
        assert not actions.count_first_run(workflow_id=own.workflow_id, run_id=uuid.uuid4())
        assert not actions.count_first_run(workflow_id=uuid.uuid4(), run_id=uuid.uuid4())
    assert first == [True, False, False]
    with scope.platform():
        assert FirstSuccessfulRun.objects.count() == 1
        assert actions.fold_statistics() == 1
        assert actions.fold_statistics() == 0
        counted = ListingStatistics.objects.get()
        assert (counted.downloads, counted.downloads_30_days, counted.installations) == (1, 1, 2)


def test_counts_of_an_unpublished_listing_are_its_publishers(acme: Tenant, globex: Tenant) -> None:
    make.listing(acme, visibility=Visibility.PRIVATE)
    with scope.tenant(globex.id):
        assert not ListingStatistics.objects.exists()
        assert not ListingStatistics.unscoped.exists()
    with scope.tenant(acme.id):
        assert ListingStatistics.objects.exists()


def test_the_platform_scope_only_reads_installations(acme: Tenant, globex: Tenant) -> None:
    install(globex, make.listing(acme).pk)
    with scope.platform():
        assert Installation.objects.count() == 1
        assert Installation.objects.update(status="SUSPENDED") == 0


def test_objects_a_release_names_are_kept(acme: Tenant, globex: Tenant) -> None:
    digest = "sha256:" + "ab" * 32
    reference = {"$artifact": digest, "mediaType": "text/csv", "bytes": 3}
    drawn = make.document(variables={"table": reference})
    install(globex, make.listing(acme, drawn).pk)
    for of in (acme, globex):
        with scope.tenant(of.id):
            assert artifacts_in_releases() == [digest]


def test_others_do_not_see_an_installation(acme: Tenant, globex: Tenant) -> None:
    install(globex, make.listing(acme).pk)
    with scope.tenant(acme.id, actor=acme.owner):
        assert not Installation.objects.exists()
        assert not Installation.unscoped.exists()


def test_choices_are_remembered_without_secrets(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme, make.document(parameters=[TARGET]))
    installation = install(globex, listing.pk, parameters={"target": "price"})
    assert installation.configuration["parameters"] == {"target": "price"}
    assert replace(Choices(), version="1.0.0").to_json()["version"] == "1.0.0"
