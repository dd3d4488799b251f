"""Every route of the URLconf, tried with another organization's ids: the same page as for none.

Driven by the URLconf: a route with a new kind of key fails until the key is named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.graphql.calls import browser
from tests.graphql.populated import Populated, fingerprint, populate, random_key

pytestmark = pytest.mark.django_db

# The key of which type a route's argument is.
KEYS = {
    "workflow_id": "Workflow",
    "run_id": "Execution",
    "version_id": "WorkflowVersion",
    "listing_id": "MarketplaceWorkflow",
    "installation_id": "Installation",
    "release_id": "ListingVersion",
    "approval_id": "ApprovalRequest",
    "user_id": "User",
    "key_id": "ApiKey",
    "digest": "digest",
}
# Who signs in, Django's admin and the REST API (tests/executions) have tests of their own.
ELSEWHERE = ("accounts/", "admin/", "api/v1/", "graphql", "healthz", "readyz", "static/")
# Names that are global by nature, and tokens that are secrets of their own.
NAMES = {"slug", "publisher", "token", "node_id", "path"}
METHODS = ("post", "get")
# Refused, unknown, or not to be asked this way.
NO_PAGE = {"401", "404", "405"}
TOKEN = re.compile(r'(name="csrfmiddlewaretoken" value=|"X-CSRFToken": )"[^"]+"')
FORM_KEY = re.compile(r'name="idempotency_key" value="[^"]+"')


def routes(
    patterns: list[Any] | None = None, before: str = "", names: tuple[str, ...] = ()
) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Every route: its text, its name, its arguments."""
    for one in get_resolver().url_patterns if patterns is None else patterns:
        text = before + str(one.pattern)
        if text.startswith(ELSEWHERE):
            continue
        if isinstance(one, URLResolver):
            inner = (*names, one.namespace) if one.namespace else names
            yield from routes(one.url_patterns, text, inner)
        elif isinstance(one, URLPattern):
            yield text, ":".join((*names, one.name or "")), frozenset(one.pattern.converters)


ROUTES = sorted(set(routes()))


@pytest.fixture
def mine(db: None) -> Populated:
    """The organization that asks."""
    return populate("acme")


@pytest.fixture
def theirs(db: None) -> Populated:
    """The organization that must stay unseen."""
    return populate("globex")


@pytest.fixture
def page(mine: Populated) -> Client:
    """The asking organization's owner, signed in."""
    client = browser(mine.tenant.owner)
    client.handler.enforce_csrf_checks = False
    return client


def seen(client: Client, method: str, path: str, form: Mapping[str, str], *hidden: str) -> str:
    """Status and body, without tokens and without the ids that were sent; nothing stays written."""
    with transaction.atomic():
        response = getattr(client, method)(path, dict(form))
        raw = b"".join(response.streaming_content) if response.streaming else response.content
        transaction.set_rollback(True)
    text = f"{response.status_code} {response.headers.get('Location', '')} {raw.decode()}"
    text = FORM_KEY.sub("", TOKEN.sub("", text))
    for value in hidden:
        text = text.replace(value, "KEY")
    return text


def filled(arguments: frozenset[str], slug: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Arguments of a route in an organization."""
    given = {name: keys[KEYS[name]] for name in arguments if name in KEYS}
    named = {"slug": slug, "node_id": "step"}
    return {**given, **{name: named[name] for name in arguments if name in named}}


def test_every_argument_of_a_route_is_known() -> None:
    unknown = {name for _, _, arguments in ROUTES for name in arguments} - KEYS.keys() - NAMES

    assert unknown == set()


def test_a_foreign_key_opens_no_page(page: Client, mine: Populated, theirs: Populated) -> None:
    random = {kind: random_key(kind) for kind in theirs.keys}
    found = []
    before = fingerprint(theirs.tenant)
    for text, name, arguments in ROUTES:
        if not arguments & KEYS.keys():
            continue
        for method in METHODS:
            foreign_path = reverse(name, kwargs=filled(arguments, "acme", theirs.keys))
            random_path = reverse(name, kwargs=filled(arguments, "acme", random))
            got = seen(page, method, foreign_path, form(theirs.keys), *theirs.keys.values())
            expected = seen(page, method, random_path, form(random), *random.values())
            if got != expected or theirs.word in got:
                found.append(f"{method} {text}: {got[:200]!r} instead of {expected[:200]!r}")

    assert found == []
    assert fingerprint(theirs.tenant) == before


def test_ones_own_keys_open_their_pages(page: Client, mine: Populated) -> None:
    """Otherwise all of this would prove nothing."""
    closed = []
    keys = {**mine.keys, "MarketplaceWorkflow": mine.shelf}
    for text, name, arguments in ROUTES:
        if text.startswith("t/") and arguments & KEYS.keys():
            path = reverse(name, kwargs=filled(arguments, "acme", keys))
            answer = seen(page, "get", path, {})
            if answer[:3] not in {"200", "302", "405"}:
                closed.append(f"{text}: {answer[:200]}")

    assert closed == []


def form(keys: Mapping[str, str]) -> dict[str, str]:
    """Ids where forms may look for them."""
    return {
        "id": keys["Connection"],
        "deployed": keys["WorkflowVersion"],
        "source": keys["WorkflowVersion"],
        "version": keys["WorkflowVersion"],
        "environment": keys["DeploymentEnvironment"],
        "connection": keys["Connection"],
        "user": keys["User"],
        "listing": keys["MarketplaceWorkflow"],
    }


def test_a_strange_organization_is_told_like_none(
    page: Client, mine: Populated, theirs: Populated
) -> None:
    found = []
    for text, name, arguments in ROUTES:
        if not text.startswith("t/"):
            continue
        for method in METHODS:
            strange = reverse(name, kwargs=filled(arguments, "globex", theirs.keys))
            unknown = reverse(name, kwargs=filled(arguments, "nowhere", theirs.keys))
            got = seen(page, method, strange, {}, "globex")
            expected = seen(page, method, unknown, {}, "nowhere")
            if got != expected or got[:3] not in {"404", "405"}:
                found.append(f"{method} {text}: {got[:200]!r} instead of {expected[:200]!r}")

    assert found == []


def test_staff_pages_are_none_to_a_member(page: Client, mine: Populated) -> None:
    found = []
    for text, name, arguments in ROUTES:
        if text.startswith("staff/"):
            path = reverse(name, kwargs=filled(arguments, "", mine.keys))
            found += [
                f"{method} {text}"
                for method in METHODS
                if not seen(page, method, path, {}).startswith("404")
            ]

    assert found == []


def test_a_strangers_browser_is_sent_to_sign_in(mine: Populated) -> None:
    found = []
    for text, name, arguments in ROUTES:
        if text.startswith("t/"):
            path = reverse(name, kwargs=filled(arguments, "acme", mine.keys))
            answer = seen(Client(), "get", path, {})
            if not (answer.startswith("302 /accounts/login/") or answer[:3] in NO_PAGE):
                found.append(f"{text}: {answer[:100]}")

    assert found == []


def test_pages_of_ones_own_show_nothing_of_others(
    page: Client, mine: Populated, theirs: Populated
) -> None:
    """Every page without a key of its own: lists, settings, searches."""
    found = []
    for text, name, arguments in ROUTES:
        if arguments - {"slug"} or text.startswith("staff/"):
            continue
        answer = seen(page, "get", reverse(name, kwargs=filled(arguments, "acme", {})), {})
        found += [f"{text} shows {kind}" for kind, key in theirs.keys.items() if key in answer]
        if theirs.word in answer:
            found.append(f"{text} says {theirs.word}")
        if answer[0] == "5":
            found.append(f"{text} fails")

    assert found == []
