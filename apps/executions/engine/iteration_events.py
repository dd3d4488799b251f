"""What history says of a container that repeats its body."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.executions.engine.ports import Usage
from apps.executions.engine.storable import instant, millis, usage_from_json, usage_json
from apps.workflows.graph.declaration import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StepIterated:
    """A container has opened its body: `values` leave by its inner outputs.

    `run_id`: it did so in an earlier run of the lineage, so nothing has run.
    """

    path: str
    attempt: int
    index: int
    values: Mapping[str, Json]
    started_at: dt.datetime
    usage: Usage = field(default_factory=Usage)
    run_id: str | None = None


def iterated_json(event: StepIterated) -> dict[str, object]:
    """The body of `step.iterated`."""
    body: dict[str, object] = {
        "startedAt": millis(event.started_at),
        "index": event.index,
        "values": event.values,
    }
    if usage := usage_json(event.usage):
        body["usage"] = usage
    if event.run_id is not None:
        body["run"] = event.run_id
    return body


def read_iterated(path: str, attempt: int, body: Mapping[str, Any]) -> StepIterated:
    """The reverse of `iterated_json`."""
    return StepIterated(
        path=path,
        attempt=attempt,
        index=body["index"],
        values=body["values"],
        started_at=instant(body["startedAt"]),
        usage=usage_from_json(body.get("usage", {})),
        run_id=body.get("run"),
    )
