"""What stands where a workflow shall run, as this process has seen it: so a start is one statement.

Nothing here is trusted: the statement compares a digest of what stands now, and writes nothing when
it differs. Then the start takes the long way, which says what is missing and looks anew.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db import connection

from apps.executions.compiled import Compiled
from apps.tenancy import scope
from apps.tenancy.limits import UNSAID, Metric
from apps.tenancy.models import EnvironmentKind

KEPT: Final = 1_024
LANE_LIMIT: Final = 2_000
"""Most slots of one tenant at once: a claim counts those in use."""
_ASK: Final = "SELECT executions_standing_7(%s, %s, %s, %s::text[])"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """What a tenant may have: steps and runs at once, open runs, starts a minute, its share."""

    steps: int
    runs: int
    queued: int
    starts: int
    weight: int

    @classmethod
    def of(cls, limits: Mapping[Any, int]) -> Ceilings:
        """From the tenant's limits, where a missing one is none."""
        steps, runs = (
            max(1, min(limits.get(metric, 0), LANE_LIMIT))
            for metric in (Metric.CONCURRENT_STEPS, Metric.CONCURRENT_RUNS)
        )
        starts, weight = (
            limits.get(metric, UNSAID[metric])
            for metric in (Metric.STARTS_PER_MINUTE, Metric.FAIR_SHARE)
        )
        queued = limits.get(Metric.QUEUED_RUNS, 0)
        return cls(steps=steps, runs=runs, queued=queued, starts=starts, weight=max(1, weight))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An environment, as a run's row names it."""

    id: uuid.UUID
    kind: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """`digest` is of what the database said, empty where it was asked piece by piece."""

    digest: str
    workflow_id: uuid.UUID
    place: Place
    version_id: uuid.UUID
    version: str
    label: str
    """What people call the version."""
    variables: Mapping[str, Any]
    ceilings: Ceilings
    compiled: Compiled
    installation_id: uuid.UUID | None
    """Decided when the workflow was made."""

    @property
    def promises(self) -> bool:
        """Whether the document says how long a run takes at most."""
        return self.compiled.document.configuration.sla.max_duration_seconds is not None


_Key = tuple[uuid.UUID, uuid.UUID, str]
_lock = threading.Lock()
_kept: OrderedDict[_Key, Standing] = OrderedDict()


def known(workflow_id: uuid.UUID, environment: EnvironmentKind | uuid.UUID) -> Standing | None:
    """What this process saw last."""
    key = scope.current_tenant_id(), workflow_id, str(environment)
    with _lock:
        held = _kept.get(key)
        if held is not None:
            _kept.move_to_end(key)
        return held


def look(seen: Standing, *, environment: EnvironmentKind | uuid.UUID) -> None:
    """Remember what stands now, for the next start; `seen` is what the last one took."""
    key = scope.current_tenant_id(), seen.workflow_id, str(environment)
    with connection.cursor() as cursor:
        cursor.execute(_ASK, [*key, list(seen.compiled.secrets)])
        ((text,),) = cursor.fetchall()
    standing = _read(text, seen) if text else None
    with _lock:
        _kept.pop(key, None)
        # Another version may have been deployed since.
        if standing is not None and standing.version_id == seen.version_id:
            _kept[key] = standing
        while len(_kept) > KEPT:
            _kept.popitem(last=False)


def _read(text: str, seen: Standing) -> Standing:
    said = json.loads(text)
    return replace(
        seen,
        digest=hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
        place=Place(id=uuid.UUID(said["placeId"]), kind=said["kind"], name=said["place"]),
        version_id=uuid.UUID(said["versionId"]),
        variables=said["variables"] or {},
        ceilings=Ceilings.of(said["limits"] or {}),
    )
