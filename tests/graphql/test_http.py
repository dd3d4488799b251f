"""POST /graphql: who may knock, with what, and what is told to whom."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from django.test import Client

from apps.tenancy import scope
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.limits import Metric, set_limits
from apps.tenancy.models import ApiKey, Membership, User
from tests.factories import tenancy as make
from tests.graphql.calls import Caller, browser, caller, codes, key_of

TENANT = "{ tenant { slug } }"


def test_a_key_works_in_its_tenant(acme: make.Tenant) -> None:
    assert (
        caller(acme).data("{ tenant { slug name } viewer { email } }")["tenant"]["slug"] == "acme"
    )


def test_a_key_does_no_more_than_its_scopes(acme: make.Tenant) -> None:
    narrow = caller(acme, Permission.WORKFLOWS_READ)

    assert codes(narrow.run("{ auditLog { nodes { action } } }")) == ["FORBIDDEN"]


def test_a_key_does_no_more_than_its_creator_still_may(acme: make.Tenant) -> None:
    admin = make.member(acme, role=Role.ADMIN)
    program = caller(admin)
    with scope.tenant(acme.id):
        Membership.objects.filter(user_id__in=[admin.user_id]).update(role="viewer")

    assert codes(program.run("{ auditLog { nodes { action } } }")) == ["FORBIDDEN"]


@pytest.mark.parametrize(
    "key",
    [None, "", "x", "nsx_", "nsx_" + "0" * 32 + "_" + "0" * 32 + "_" + "0" * 64, "nsx_é" * 40],
)
def test_without_a_valid_key_nothing_is_said(db: None, key: str | None) -> None:
    response = Caller(key).post({"query": "{ __schema { types { name } } }"})

    assert response.status_code == 401
    assert codes(response.json()) == ["UNAUTHENTICATED"]


def test_a_key_of_another_tenant_does_not_open_this_one(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    key = key_of(acme.owner)
    forged = key.replace(acme.id.hex, globex.id.hex)

    assert Caller(forged).post({"query": TENANT}).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
        {"expires_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
    ],
)
def test_a_dead_key_is_told_like_an_unknown_one(
    acme: make.Tenant, change: dict[str, dt.datetime]
) -> None:
    key = key_of(acme.owner)
    unknown = Caller(key[:-4] + "0000").post({"query": TENANT}).json()
    with scope.tenant(acme.id):
        ApiKey.objects.update(**change)

    dead = Caller(key).post({"query": TENANT}).json()

    assert dead["errors"][0]["message"] == unknown["errors"][0]["message"]


def test_an_inactive_persons_key_is_dead(acme: make.Tenant) -> None:
    key = key_of(acme.owner)
    User.objects.filter(pk__in=[acme.owner.user_id]).update(is_active=False)

    assert Caller(key).post({"query": TENANT}).status_code == 401


def test_the_use_of_a_key_is_noted(acme: make.Tenant) -> None:
    caller(acme).data(TENANT)

    with scope.tenant(acme.id):
        assert ApiKey.objects.get().last_used_at is not None


def test_a_session_needs_its_csrf_token(acme: make.Tenant) -> None:
    client = browser(acme.owner)

    response = client.post(
        "/graphql",
        json.dumps({"query": TENANT}),
        content_type="application/json",
        headers={"X-NStarX-Tenant": "acme"},
    )

    assert response.status_code == 403
    assert codes(response.json()) == ["FORBIDDEN"]


def post_as_page(client: Client, query: str, slug: str) -> dict[str, object]:
    """As a page of ours would: the token from the cookie that the explorer set."""
    client.get("/graphql")
    token = client.cookies["csrftoken"].value
    response = client.post(
        "/graphql",
        json.dumps({"query": query}),
        content_type="application/json",
        headers={"X-CSRFToken": token, "X-NStarX-Tenant": slug},
    )
    found: dict[str, object] = response.json()
    return found


def test_a_session_works_with_its_token(acme: make.Tenant) -> None:
    answer = post_as_page(browser(acme.owner), TENANT, "acme")

    assert answer["data"] == {"tenant": {"slug": "acme"}}


def test_a_strange_and_an_unknown_organization_are_told_alike(
    acme: make.Tenant, globex: make.Tenant
) -> None:
    client = browser(acme.owner)

    strange = post_as_page(client, TENANT, "globex")
    unknown = post_as_page(client, TENANT, "nowhere")

    assert strange["errors"][0]["message"] == unknown["errors"][0]["message"]  # type: ignore[index]
    assert codes(strange) == ["UNAUTHENTICATED"]


def test_staff_without_an_organization_work_in_the_platform_scope(db: None) -> None:
    client = browser(make.staff())
    client.get("/graphql")
    response = client.post(
        "/graphql",
        json.dumps({"query": "{ tenant { slug } viewer { email } }"}),
        content_type="application/json",
        headers={"X-CSRFToken": client.cookies["csrftoken"].value},
    )

    assert response.json()["data"]["tenant"] is None


def test_the_explorer_is_for_people_who_are_signed_in(acme: make.Tenant) -> None:
    assert Client().get("/graphql").status_code == 405
    page = browser(acme.owner).get("/graphql")

    assert page.status_code == 200
    assert 'id="explorer"' in page.content.decode()


def test_an_operation_is_never_a_get(acme: make.Tenant) -> None:
    key = key_of(acme.owner)
    headers = {"Authorization": f"Bearer {key}"}

    assert Client().get("/graphql", {"query": TENANT}, headers=headers).status_code == 405


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"query=%7Btenant%7Bslug%7D%7D", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"{}", "multipart/form-data; boundary=x", 415),
        (b" ", "application/json", 400),
        (b"not json", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'[{"query":"{tenant{slug}}"}]', "application/json", 400),
        (b'"{tenant{slug}}"', "application/json", 400),
        (b'{"query": 7}', "application/json", 400),
        (b'{"query": "{tenant{slug}}", "variables": []}', "application/json", 400),
        (b'{"query": "{tenant{slug}}", "operationName": "other"}', "application/json", 400),
        (b'{"query": "{tenant{slug}}", "variables": {"a": NaN}}', "application/json", 400),
        (b'{"query": "{tenant{slug}}", "variables": {"a": "\\u0000"}}', "application/json", 400),
        (b'{"query": "{tenant{slug}}", "variables": {"a": "\\ud800"}}', "application/json", 400),
        (b"\xff\xfe\xfa", "application/json", 400),
        (b'{"query": "fragment f on Query { tenant { slug } }"}', "application/json", 400),
        (b'{"a": "' + b"x" * 1_400_000 + b'"}', "application/json", 413),
    ],
)
def test_what_is_no_operation_is_refused_in_json(
    acme: make.Tenant, body: bytes, content_type: str, status: int
) -> None:
    response = caller(acme).post(body, content_type=content_type)

    assert response.status_code == status
    assert codes(response.json()) == ["INVALID"]


def test_a_long_text_as_a_variable_passes(acme: make.Tenant) -> None:
    query = "query($id: ID!) { node(id: $id) { id } }"

    assert caller(acme).run(query, id="x" * 1_000_000)["data"] == {"node": None}


def test_a_deep_document_is_refused_not_a_crash(acme: make.Tenant) -> None:
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    query = "mutation($d: WorkflowDocument!) { createWorkflow(document: $d) { errors { code } } }"

    answer = caller(acme).run(query, d={"name": "x", "configuration": {"variables": {"v": deep}}})

    assert "INTERNAL" not in codes(answer)
    assert codes(answer) or answer["data"]["createWorkflow"]["errors"]


def test_answers_are_not_stored_by_caches(acme: make.Tenant) -> None:
    assert caller(acme).post({"query": TENANT}).headers["Cache-Control"] == "no-store"


def test_the_request_id_comes_back_in_errors(acme: make.Tenant) -> None:
    answer = caller(acme, **{"X-Request-Id": "trace-0007-0007"}).run("{ nothing }")

    assert answer["errors"][0]["extensions"]["requestId"] == "trace-0007-0007"


def test_an_empty_bucket_is_a_429(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        set_limits({Metric.API_POINTS_PER_HOUR: 1})
    program = caller(acme)
    program.data("{ rateLimit { remaining } }")

    response = program.post({"query": "{ rateLimit { remaining } }"})

    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert codes(response.json()) == ["RATE_LIMITED"]


def test_the_plan_says_how_much_an_hour_holds(acme: make.Tenant) -> None:
    with scope.tenant(acme.id):
        set_limits({Metric.API_POINTS_PER_HOUR: 5_000})

    assert caller(acme).data("{ rateLimit { limit } }")["rateLimit"]["limit"] == 5_000


def test_the_rate_limit_field_and_the_extension_agree(acme: make.Tenant) -> None:
    answer = caller(acme).run("{ rateLimit { limit cost remaining nodeCount } tenant { slug } }")

    shown = {k: answer["extensions"]["cost"][k] for k in answer["data"]["rateLimit"]}
    assert answer["data"]["rateLimit"] == shown


def test_introspection_is_for_those_who_are_known(acme: make.Tenant) -> None:
    assert caller(acme).data("{ __schema { queryType { name } } }")


def test_an_actor_that_is_nobody_holds_nothing() -> None:
    nobody = Actor(tenant_id=None, name="nobody")

    assert not any(nobody.has(permission) for permission in Permission)
