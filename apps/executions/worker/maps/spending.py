"""What the steps of a chunk have used and met, over all workers that had it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from apps.executions.engine.mapping import FAILURE_LIMIT
from apps.executions.engine.ports import Usage
from apps.executions.engine.record import Totals
from apps.executions.engine.storable import BODY_LIMIT, dumps, usage_from_json, usage_json
from apps.workflows.graph.declaration import Json


class Spending:
    """Thread safe."""

    def __init__(self, before: Mapping[str, Any]) -> None:
        """`before`: what earlier holders of the chunk have said, as `text` does."""
        self._lock = threading.Lock()
        self._totals = Totals()
        earlier = usage_from_json(before.get("usage", {}))
        self._totals.add(earlier, attempts=before.get("attempts", 0))
        self.failure: Mapping[str, Json] | None = before.get("failure")
        """Of the first item that failed."""

    @property
    def attempts(self) -> int:
        """Of all steps."""
        return self._totals.attempts

    def add(self, totals: Totals) -> None:
        """One item has ended."""
        with self._lock:
            self._totals.add(_usage(totals), attempts=totals.attempts)

    def usage(self) -> Usage:
        """Of all attempts together."""
        return _usage(self._totals)

    def text(self) -> str:
        """JSON as the run is told in the end: only what there is."""
        said: dict[str, Any] = {"attempts": self.attempts} if self.attempts else {}
        if usage := usage_json(self.usage()):
            said["usage"] = usage
        if self.failure:
            said["failure"] = dict(self.failure)
        return dumps(said, limit=FAILURE_LIMIT + BODY_LIMIT)


def _usage(totals: Totals) -> Usage:
    return Usage(
        cpu_seconds=totals.cpu_seconds,
        peak_memory_bytes=totals.peak_memory_bytes,
        bytes_in=totals.bytes_in,
        bytes_out=totals.bytes_out,
        cost_minor=totals.cost_minor,
    )
