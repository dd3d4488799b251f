"""Listings and releases for tests: published through the real actions, or as bare search rows."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

from apps.kit.ids import uuid7
from apps.marketplace.actions import publish_release
from apps.marketplace.models import Listing, Release, SearchRow
from apps.marketplace.sources import Source
from apps.marketplace.submission import Submission
from apps.marketplace.terms import Category
from apps.security_scan import actions as scans
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.versions.actions import decide_approval
from tests.factories.tenancy import Tenant, staff

SUBMISSION = Submission(
    name="Cars ETL with quarantine",
    tagline="Clean rows in, bad rows aside",
    description="Validates a table of cars, sets bad rows aside and groups the rest.",
    category=Category.DATA_PIPELINE,
    version="1.0.0",
    changelog="First release.",
    license="Apache-2.0",
    documentation="# Cars\n\nRun it.",
    platform=">=0.1",
    tags=("cars", "etl"),
)


def node(kind: str, /, *, id: str = "step", **configuration: Any) -> dict[str, Any]:
    """One node as the document holds it."""
    return {"id": id, "type": kind, "typeVersion": "1", "configuration": configuration}


def document(*nodes: dict[str, Any], **configuration: Any) -> dict[str, Any]:
    """A document of nodes that stand beside each other."""
    return {
        "schemaVersion": 1,
        "name": "Cars",
        "type": "dataPipeline",
        "nodes": list(nodes) or [node("test.text", text="Hello")],
        "connections": [],
        "configuration": configuration,
    }


def submitted(of: Tenant, drawn: dict[str, Any] | None = None, **changes: Any) -> Release:
    """A release in SCANNING."""
    with scope.tenant(of.id, actor=of.owner):
        return publish_release(
            actor=of.owner,
            source=Source(document=drawn or document()),
            submission=replace(SUBMISSION, **changes),
        )


def scanned(of: Tenant, drawn: dict[str, Any] | None = None, **changes: Any) -> Release:
    """A release whose scan has run: AWAITING_APPROVAL or REJECTED."""
    release = submitted(of, drawn, **changes)
    assert release.scan_id is not None
    with scope.tenant(of.id, actor=Actor.system(of.id, "test")):
        scans.run_scan(scan_id=release.scan_id)
        return Release.objects.get(pk=release.pk)


def published(of: Tenant, drawn: dict[str, Any] | None = None, **changes: Any) -> Release:
    """A release that staff have approved."""
    release = scanned(of, drawn, **changes)
    assert release.approval_id is not None
    person = staff()
    with scope.platform(actor=person):
        decide_approval(actor=person, approval_id=release.approval_id, approve=True)
    with scope.tenant(of.id, actor=of.owner):
        return Release.objects.select_related("listing").get(pk=release.pk)


def listing(of: Tenant, drawn: dict[str, Any] | None = None, **changes: Any) -> Listing:
    """A listing on the shelf."""
    found: Listing = published(of, drawn, **changes).listing
    return found


def row(number: int = 0, **facts: Any) -> SearchRow:
    """A search row without a listing behind it, for questions about ranking alone."""
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=number)
    defaults: dict[str, Any] = {
        "listing_id": uuid7(),
        "publisher_tenant_id": uuid.UUID(int=1),
        "publisher_handle": "acme",
        "slug": f"workflow-{number}",
        "name": f"Workflow {number}",
        "category": Category.OTHER,
        "license": "MIT",
        "locale": "en",
        "pricing_model": "FREE",
        "verdict": "PASSED",
        "published_at": moment,
        "updated_at": moment,
    }
    return SearchRow(**{**defaults, **facts})
