"""Installing: the plan, what it writes, and what is counted."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from django.db import DatabaseError, transaction

from apps.kit.errors import (
    IdempotencyMismatch,
)
from apps.marketplace import actions
from apps.marketplace.models import FirstSuccessfulRun, Installation, ListingStatistics
from apps.marketplace.planning import Choices
from apps.marketplace.store import artifacts_in_releases
from apps.marketplace.terms import Channel, Visibility
from apps.tenancy import scope
from apps.tenancy.actors import Permission
from apps.tenancy.models import AuditRow
from apps.vault.actions import save_connection
from apps.versions.models import Deployment
from apps.workflows.models import Workflow
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant
from tests.marketplace.installs import (
    AGREED,
    CALLING,
    TARGET,
    install,
    nothing_written,
    plan,
    secret,
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


def test_channels_offer_what_they_say(acme: Tenant, globex: Tenant) -> None:
    listing = make.listing(acme)
    make.published(acme, version="2.0.0-beta.1", channel=Channel.BETA)
    assert plan(globex, listing).release.version == "1.0.0"
    beta = plan(globex, listing, Choices(channel=Channel.BETA))
    assert beta.release.version == "2.0.0-beta.1"


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
