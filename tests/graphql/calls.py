"""Calls to /graphql as clients make them: with a key, with a session, with neither."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from apps.tenancy import scope
from apps.tenancy.actions import create_api_key
from apps.tenancy.actors import Actor, Permission
from apps.tenancy.models import User
from tests.factories.tenancy import Tenant

EVERYTHING = [p.value for p in Permission if p is not Permission.PLATFORM_ADMIN]


def key_of(actor: Actor, *scopes: str) -> str:
    """A fresh API key of the actor; with all the actor's scopes unless some are named."""
    wanted = list(scopes) or [p.value for p in actor.permissions]
    assert actor.tenant_id is not None
    with scope.tenant(actor.tenant_id, actor=actor):
        return create_api_key(actor=actor, name="test", scopes=wanted).text


class Caller:
    """A program with a key."""

    def __init__(self, key: str | None, **headers: str) -> None:
        self.client = Client(enforce_csrf_checks=True, headers=headers)
        self.key = key

    def post(self, body: Any, *, content_type: str = "application/json") -> Any:
        """The raw response to a body."""
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.client.post("/graphql", data, content_type=content_type, headers=headers)

    def run(self, query: str, **variables: Any) -> dict[str, Any]:
        """The parsed answer to one operation."""
        answer: dict[str, Any] = self.post({"query": query, "variables": variables}).json()
        return answer

    def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must succeed."""
        answer = self.run(query, **variables)
        assert not answer.get("errors"), answer
        found: dict[str, Any] = answer["data"]
        return found


def caller(of: Tenant | Actor, *scopes: str, **headers: str) -> Caller:
    """A program with a key of the tenant's owner, or of an actor."""
    actor = of.owner if isinstance(of, Tenant) else of
    return Caller(key_of(actor, *scopes), **headers)


def browser(actor: Actor) -> Client:
    """A signed-in browser that must send its CSRF token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(
        User.objects.get(pk__in=[actor.user_id]),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    return client


def codes(answer: dict[str, Any]) -> list[str]:
    """The codes of an answer's top-level errors."""
    return [error["extensions"]["code"] for error in answer.get("errors") or ()]
