"""Every page with everything on it: it answers, needs no inline code, and keeps to its queries."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from apps.executions.actions import start_run
from apps.tenancy import scope
from apps.workflows.actions import clone_workflow
from tests.pages.conftest import Furnished, nobody, signed_in

pytestmark = pytest.mark.django_db

INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE
)

# Name, the ids in its address, and how many queries it may take (session, person, organizations,
# scope settings and savepoints included).
PAGES: list[tuple[str, list[str], int]] = [
    ("executions:overview", ["slug"], 24),
    ("executions:list", ["slug"], 20),
    ("executions:questions", ["slug"], 21),
    ("executions:of_workflow", ["slug", "workflow"], 21),
    ("executions:start", ["slug", "workflow"], 24),
    ("executions:run", ["slug", "run"], 30),
    ("executions:live", ["slug", "run"], 21),
    ("executions:items", ["slug", "run"], 20),
    ("executions:again", ["slug", "run"], 25),
    ("executions:test", ["slug", "workflow", "node"], 24),
    ("executions:defaults", ["slug"], 24),
    ("workflows:list", ["slug"], 19),
    ("workflows:create", ["slug"], 18),
    ("workflows:steps", ["slug"], 18),
    ("workflows:detail", ["slug", "workflow"], 19),
    ("workflows:draft", ["slug", "workflow"], 19),
    ("versions:list", ["slug", "workflow"], 23),
    ("versions:diff", ["slug", "second"], 22),
    ("versions:approvals", ["slug"], 19),
    ("versions:approval", ["slug", "question"], 24),
    ("marketplace:search", [], 27),
    ("marketplace:listing", ["publisher", "listing_slug"], 22),
    ("marketplace:picture", ["publisher", "listing_slug"], 6),
    ("marketplace:install", ["slug", "listing"], 30),
    ("marketplace:installations", ["slug"], 19),
    ("marketplace:installation", ["slug", "installation"], 20),
    ("marketplace:publish", ["slug", "workflow"], 25),
    ("marketplace:releases", ["slug"], 19),
    ("marketplace:release", ["slug", "waiting"], 19),
    ("tenancy:create", [], 9),
    ("tenancy:members", ["slug"], 20),
    ("tenancy:keys", ["slug"], 19),
    ("tenancy:environments", ["slug"], 19),
    ("tenancy:audit", ["slug"], 19),
    ("vault:secrets", ["slug"], 24),
    ("vault:variables", ["slug"], 24),
    ("vault:connections", ["slug"], 24),
    ("billing:usage", ["slug"], 21),
]
STAFF_PAGES: list[tuple[str, list[str], int]] = [
    ("marketplace:approvals", [], 15),
    ("marketplace:approval", ["approval"], 17),
]


def address(furnished: Furnished, name: str, parts: list[str]) -> str:
    return reverse(name, args=[getattr(furnished, part) for part in parts])


@pytest.mark.parametrize(("name", "parts", "most"), PAGES)
def test_a_member_sees_the_page_within_its_queries(
    name: str,
    parts: list[str],
    most: int,
    owner: Client,
    furnished: Furnished,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    owner.get(reverse("executions:overview", args=[furnished.slug]))
    with django_assert_max_num_queries(most):
        answer = owner.get(address(furnished, name, parts))
    assert answer.status_code == 200
    assert not INLINE.search(answer.content.decode())


@pytest.mark.parametrize(("name", "parts", "most"), STAFF_PAGES)
def test_staff_see_the_console_within_its_queries(
    name: str,
    parts: list[str],
    most: int,
    staff: Callable[[], Client],
    furnished: Furnished,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    client = staff()
    with django_assert_max_num_queries(most):
        answer = client.get(address(furnished, name, parts))
    assert answer.status_code == 200
    assert not INLINE.search(answer.content.decode())


def test_longer_lists_take_no_more_queries(owner: Client, acme: Any, furnished: Furnished) -> None:
    lists = ["executions:list", "workflows:list", "executions:overview", "tenancy:audit"]
    # The first visit writes the session.
    owner.get(reverse("executions:overview", args=["acme"]))
    before = {name: _queries(owner, reverse(name, args=["acme"])) for name in lists}
    with scope.tenant(acme.id, actor=acme.owner):
        for number in range(5):
            copy = clone_workflow(
                actor=acme.owner, workflow_id=furnished.workflow, name=f"Copy {number}"
            )
            start_run(actor=acme.owner, workflow_id=copy.pk, parameters={"times": 1})
    after = {name: _queries(owner, reverse(name, args=["acme"])) for name in lists}
    assert after == before


def _queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


def _paths() -> dict[str, URLPattern]:
    """Every address of the apps' pages by its name."""
    found: dict[str, URLPattern] = {}
    for resolver in get_resolver().url_patterns:
        if not isinstance(resolver, URLResolver):
            continue
        namespace = resolver.namespace
        if namespace and namespace != "admin":
            for pattern in resolver.url_patterns:
                if isinstance(pattern, URLPattern):
                    found[f"{namespace}:{pattern.name}"] = pattern
    return found


def _argument(furnished: Furnished, name: str) -> object:
    return {
        "slug": furnished.slug,
        "workflow_id": furnished.workflow,
        "version_id": furnished.second,
        "run_id": furnished.run,
        "node_id": furnished.node,
        "listing_id": furnished.listing,
        "release_id": furnished.waiting,
        "installation_id": furnished.installation,
        "key_id": furnished.key,
        "approval_id": furnished.question,
        "digest": "sha256:" + "a" * 64,
    }[name]


def _ids(name: str) -> list[str]:
    """The parts of an address that name a tenant's row; listings are public."""
    return [one for one in _paths()[name].pattern.converters if one not in {"slug", "listing_id"}]


TENANT_PAGES = sorted(name for name, one in _paths().items() if str(one.pattern).startswith("t/"))


@pytest.mark.parametrize("name", TENANT_PAGES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_gets_the_answer_of_a_random_organization(
    name: str, method: str, stranger: Client, furnished: Furnished, acme: Any
) -> None:
    names = list(_paths()[name].pattern.converters)
    given = {
        one: _argument(furnished, one) if one != "user_id" else acme.owner.user_id for one in names
    }
    theirs = getattr(stranger, method)(reverse(name, kwargs=given))
    random = getattr(stranger, method)(reverse(name, kwargs={**given, "slug": "no-such-place"}))
    assert theirs.status_code == random.status_code
    assert theirs.status_code in {404, 405}
    assert theirs.content == random.content


@pytest.mark.parametrize("name", [name for name in TENANT_PAGES if _ids(name)])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_foreign_id_gets_the_answer_of_a_random_one(
    name: str, method: str, stranger: Client, furnished: Furnished, acme: Any, globex: Any
) -> None:
    names = _ids(name)
    own = {"slug": globex.organization.slug}
    if "listing_id" in _paths()[name].pattern.converters:
        own["listing_id"] = nobody()
    foreign = {
        one: _argument(furnished, one) if one != "user_id" else acme.owner.user_id for one in names
    }
    random = {one: "sha256:" + "b" * 64 if one == "digest" else nobody() for one in names}
    one = getattr(stranger, method)(reverse(name, kwargs={**own, **foreign}))
    other = getattr(stranger, method)(reverse(name, kwargs={**own, **random}))
    assert one.status_code == other.status_code
    # 400: an empty form is refused before anybody looks for the id.
    assert one.status_code in {400, 404, 405}
    assert one.content == other.content


@pytest.mark.parametrize("name", TENANT_PAGES)
def test_a_visitor_is_asked_to_sign_in(
    name: str, client: Client, furnished: Furnished, acme: Any
) -> None:
    names = list(_paths()[name].pattern.converters)
    given = {
        one: _argument(furnished, one) if one != "user_id" else acme.owner.user_id for one in names
    }
    answer = client.get(reverse(name, kwargs=given))
    assert answer.status_code in {302, 405}
    if answer.status_code == 302:
        assert answer["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize(("name", "parts"), [(name, parts) for name, parts, _ in STAFF_PAGES])
def test_the_console_does_not_exist_for_members(
    name: str, parts: list[str], owner: Client, client: Client, furnished: Furnished
) -> None:
    path = address(furnished, name, parts)
    nowhere = owner.get("/nowhere/")
    for visitor in (owner, client):
        for method in (visitor.get, visitor.post):
            answer = method(path)
            assert answer.status_code == 404
    assert owner.get(path).content == nowhere.content


def test_other_peoples_words_are_never_code(owner: Client, furnished: Furnished) -> None:
    page = owner.get(reverse("workflows:detail", args=[furnished.slug, furnished.workflow]))
    html = page.content.decode()
    assert "<b>bold</b>" not in html
    assert "&lt;b&gt;bold" in html


def test_a_viewer_sees_no_way_to_change_anything(furnished: Furnished, viewer: Any) -> None:
    client = signed_in(viewer.user_id)
    for name, parts in (
        ("workflows:detail", ["slug", "workflow"]),
        ("versions:list", ["slug", "workflow"]),
        ("executions:run", ["slug", "run"]),
        ("tenancy:members", ["slug"]),
        ("vault:variables", ["slug"]),
    ):
        html = client.get(address(furnished, name, parts)).content.decode()
        forms = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', html)
        assert forms == ["/accounts/logout/"], name
