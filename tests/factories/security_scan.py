"""Documents and scans for tests."""

from __future__ import annotations

from typing import Any

from apps.kit.ids import uuid7
from apps.security_scan import actions
from apps.security_scan.models import Scan
from apps.tenancy.actors import Actor


def document(code: str = "value = 1") -> dict[str, Any]:
    """A document with one node that holds code; its type is known to nobody, so it is examined."""
    node = {"id": "step", "type": "stranger.script", "configuration": {"code": code}}
    return {"schemaVersion": 1, "name": "Sample", "nodes": [node], "connections": []}


def scan(actor: Actor, code: str = "value = 1") -> Scan:
    """A PENDING scan in the scope in force."""
    return actions.request_scan(
        actor=actor,
        subject_type="ListingVersion",
        subject_id=uuid7(),
        digest="sha256:" + "0" * 64,
        document=document(code),
    )
