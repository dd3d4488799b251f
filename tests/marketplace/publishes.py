"""Releases as the tests hand them in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apps.marketplace import actions
from apps.marketplace.models import Listing, Release
from apps.marketplace.sources import Source
from apps.security_scan.models import Scan
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from tests.factories import marketplace as make
from tests.factories.tenancy import Tenant

EVIL = make.document(
    make.node("test.code", id="clean", code="rows = eval(value)"),
    make.node("test.text", id="send", text="token ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"),
)


def publish(of: Tenant, actor: Actor | None = None, **changes: Any) -> Release:
    key = changes.pop("idempotency_key", None)
    source = changes.pop("source", Source(document=make.document()))
    with scope.tenant(of.id, actor=actor or of.owner):
        return actions.publish_release(
            actor=actor or of.owner,
            source=source,
            submission=replace(make.SUBMISSION, **changes),
            idempotency_key=key,
        )


def nothing_written(of: Tenant) -> bool:
    with scope.tenant(of.id):
        kinds = (Listing, Release, Scan)
        return not any(kind.objects.filter(tenant_id=of.id).exists() for kind in kinds)
