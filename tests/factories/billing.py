"""Ledger entries for tests."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from apps.billing.actions import RunUsage, record_usage
from apps.kit.clock import now
from apps.tenancy.scope import Scope, enter
from tests.factories.tenancy import Tenant


def usage(of: Tenant, **changed: Any) -> RunUsage:
    """What a small run used."""
    given: dict[str, Any] = {
        "run_id": uuid.uuid4(),
        "workflow_id": uuid.uuid4(),
        "environment_id": of.environments["DEVELOPMENT"].pk,
        "installation_id": None,
        "state": "SUCCEEDED",
        "finished_at": now(),
        "steps": 3,
        "cpu_seconds": 1.5,
        "wall_ms": 2_000,
        "bytes_in": 10,
        "bytes_out": 20,
        "cost_minor": 4,
    }
    return RunUsage(**{**given, **changed})


def entry(of: Tenant, *, at: dt.datetime | None = None, **changed: Any) -> RunUsage:
    """A run in the ledger."""
    made = usage(of, finished_at=at or now(), **changed)
    with enter(Scope.of(of.owner)):
        record_usage(made)
    return made
