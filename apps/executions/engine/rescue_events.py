"""What history says of undoing: as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.workflows.graph.declaration import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCompensating:
    """Nothing runs any more, and completed steps are undone from here on.

    `path` is the step whose failure asked for it (None: the run is being canceled), `then` the
    node that goes on afterwards.
    """

    path: str | None = None
    then: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCompensated:
    """All is undone; the run goes on with the alternative path that begins at `then`."""

    then: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCalled:
    """A completed step (`by`) is about to be undone by a step of its own: the one at `path`."""

    path: str
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCompensated:
    """What the step did is undone; `by` is the step that did it."""

    path: str
    by: str


def compensating_json(event: RunCompensating) -> dict[str, Json]:
    """Only what is set."""
    pairs = {"path": event.path, "then": event.then}
    return {name: value for name, value in pairs.items() if value is not None}


def read_compensating(body: Mapping[str, Any]) -> RunCompensating:
    """The reverse of `compensating_json`."""
    return RunCompensating(path=body.get("path"), then=body.get("then"))
