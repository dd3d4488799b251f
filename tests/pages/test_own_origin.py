"""Whatever a page loads comes from where the page came from, and the policy says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse

from config.static_files import graphiql
from tests.pages.conftest import Furnished
from tests.pages.test_every_page import INLINE, PAGES, STAFF_PAGES, address

LOADED = re.compile(
    r"<(?:script|link|img|iframe|source|use|form)\b[^>]*?\b(?:src|href|action)=\"([^\"]*)\""
)
PARTS_OF_PAGES = {"executions:live", "marketplace:picture"}
WHOLE_PAGES = [(name, parts) for name, parts, _ in PAGES if name not in PARTS_OF_PAGES]
SCRIPTS = ["react.production.min.js", "react-dom.production.min.js", "graphiql.min.js"]


def policy_of(client: Client, path: str) -> dict[str, str]:
    """The page's policy by directive."""
    header = client.get(path).headers["Content-Security-Policy"]
    return dict(part.strip().partition(" ")[::2] for part in header.split(";"))


def loaded_by(client: Client, path: str) -> list[str]:
    """The addresses that the page's markup loads or posts to."""
    html = client.get(path).content.decode()
    assert not INLINE.search(html)
    return LOADED.findall(html)


def assert_ours(addresses: list[str]) -> None:
    assert addresses
    foreign = [one for one in addresses if not re.match(r"/(?!/)|[?#]|$", one)]
    assert foreign == []


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "parts"), WHOLE_PAGES)
def test_a_page_loads_from_its_own_origin(
    name: str, parts: list[str], owner: Client, furnished: Furnished
) -> None:
    assert_ours(loaded_by(owner, address(furnished, name, parts)))


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "parts"), [(name, parts) for name, parts, _ in STAFF_PAGES])
def test_the_console_loads_from_its_own_origin(
    name: str, parts: list[str], staff: object, furnished: Furnished
) -> None:
    client = staff()  # type: ignore[operator]
    assert_ours(loaded_by(client, address(furnished, name, parts)))


@pytest.mark.django_db
def test_the_explorer_loads_from_its_own_origin_and_all_of_it_is_there(owner: Client) -> None:
    addresses = loaded_by(owner, reverse("graphql"))
    assert_ours(addresses)
    static = [one.removeprefix(settings.STATIC_URL) for one in addresses if "/static/" in one]
    assert {f"graphiql/{name}" for name in SCRIPTS} <= set(static)
    assert [one for one in static if finders.find(one) is None] == []


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/accounts/login/", "/marketplace/", "/admin/", "/graphql"])
def test_the_policy_names_nobody_else(owner: Client, path: str) -> None:
    policy = policy_of(owner, path)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed == {"'self'", "'none'", "data:"}


@pytest.mark.django_db
def test_only_the_explorer_has_fonts_within_its_style_sheet(owner: Client) -> None:
    assert policy_of(owner, "/graphql")["font-src"] == "'self' data:"
    assert policy_of(owner, "/marketplace/")["font-src"] == "'self'"


def test_the_explorers_style_sheet_loads_nothing() -> None:
    style = (graphiql() / "graphiql.min.css").read_text()
    references = re.findall(r"url\(\s*['\"]?([^)]{0,5})", style)
    assert set(references) == {"data:"}
    assert "@import" not in style


def test_an_installation_can_collect_every_file(tmp_path: Path) -> None:
    """The storage of production gives names with digests and misses no file that another names."""
    storage = {"staticfiles": {"BACKEND": "config.static_files.Collected"}}
    with override_settings(STATIC_ROOT=tmp_path, STORAGES={**settings.STORAGES, **storage}):
        call_command("collectstatic", interactive=False, verbosity=0)
    for name in ("graphiql/graphiql.min.*.js.gz", "nstarx/explorer.*.js"):
        assert list(tmp_path.glob(name)), name
