"""What a run is given before it starts: outcomes of an earlier run, facts about single steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from apps.workflows.graph.declaration import Json
from apps.workflows.graph.mapping import MapOpening


class Origin(StrEnum):
    """Where the outputs of a step come from that did not run."""

    CACHED = "cached"
    PINNED = "pinned"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReused:
    """The step's outcome is the one it had in `run_id`, so nothing runs.

    `error` is that of a failure which left by the error port; its connections are decided too.
    """

    path: str
    attempt: int
    run_id: str
    outputs: Mapping[str, Json] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    error: Mapping[str, Json] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MapKept:
    """What a map did whose outcome is taken over: so many of its chunks went out, in that run."""

    run_id: str
    opening: MapOpening
    chunks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Follows:
    """What an item of a map goes on from: a run of it, or (`history`) what it did in memory.

    As of a run: steps that are `kept`, containers `opened` in the middle, `maps` whose items are
    taken over, `but` for one of each; of those that are in `failed` also items that have failed.
    """

    run_id: str | None = None
    kept: tuple[str, ...] = ()
    opened: Mapping[str, int] = field(default_factory=dict)
    maps: tuple[str, ...] = ()
    but: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    history: Json = None

    def to_json(self) -> dict[str, Json]:
        """As history holds it, and SQL reads it."""
        if self.history is not None:
            return {"history": self.history}
        return {
            "run": self.run_id,
            "kept": list(self.kept),
            "opened": dict(self.opened),
            "maps": list(self.maps),
            "but": dict(self.but),
            "failed": list(self.failed),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Follows:
        """The reverse."""
        if "history" in body:
            return cls(history=body["history"])
        return cls(
            run_id=body["run"],
            kept=tuple(body["kept"]),
            opened=body["opened"],
            maps=tuple(body["maps"]),
            but=body["but"],
            failed=tuple(body["failed"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepGiven:
    """What is known of a step before it starts.

    `generation` is part of its idempotency key. `inputs` replace what would arrive, port by port.
    `outputs` are pinned: the step succeeds with them and nothing runs; by a node inside a container
    they are meant for all its iterations and items. `alone`: no other step runs; inside a container
    `item` is a sample. `kept`: of a map that is taken over, for whoever has to undo what it did.
    `follows`: of an item (`rows[3]`), where it goes on; what is said of its steps is for them.
    """

    path: str
    generation: int = 1
    inputs: Mapping[str, Json] | None = None
    outputs: Mapping[str, Json] | None = None
    alone: bool = False
    item: Json = None
    kept: MapKept | None = None
    follows: Follows | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemGiven:
    """The run is one item of a map: it runs what is in the container, with that item.

    `path` is the map's, in the run above (`run_id`, which was at `head`); `scope` is where that run
    stands in those above it: a part of the keys of effects.
    """

    path: str
    attempt: int
    run_id: str
    head: int
    index: int
    item: Json
    generation: int = 1
    scope: str = ""
    follows: Follows | None = None
    """Where it goes on; what is taken over follows as its own events."""


NOTHING_GIVEN = StepGiven(path="")


def top_of(path: str) -> str:
    """The step of the document's top level that a step belongs to, by its container or caller."""
    return path.partition("[")[0].partition("/")[0]


def reused_body(event: StepReused) -> dict[str, Any]:
    """As run_event holds it; copies of older events say more, which nobody reads."""
    body: dict[str, Any] = {"run": event.run_id, "outputs": event.outputs}
    if event.conditions:
        body["conditions"] = event.conditions
    if event.error is not None:
        body["error"] = event.error
    return body


def read_reused(path: str, attempt: int, body: Mapping[str, Any]) -> StepReused:
    """The reverse of `reused_body`."""
    return StepReused(
        path=path,
        attempt=attempt,
        run_id=body["run"],
        outputs=body.get("outputs", {}),
        conditions=body.get("conditions", {}),
        error=body.get("error"),
    )


def given_body(event: StepGiven) -> dict[str, Any]:
    """Only what is said."""
    facts = {
        "generation": event.generation if event.generation > 1 else None,
        "inputs": event.inputs,
        "outputs": event.outputs,
        "alone": event.alone or None,
        "item": event.item,
        "kept": event.kept and _kept_body(event.kept),
        "follows": event.follows and event.follows.to_json(),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def read_given(path: str, body: Mapping[str, Any]) -> StepGiven:
    """The reverse of `given_body`."""
    return StepGiven(
        path=path,
        generation=body.get("generation", 1),
        inputs=body.get("inputs"),
        outputs=body.get("outputs"),
        alone=body.get("alone", False),
        item=body.get("item"),
        kept=_read_kept(body["kept"]) if "kept" in body else None,
        follows=Follows.from_json(body["follows"]) if "follows" in body else None,
    )


def _kept_body(kept: MapKept) -> dict[str, Json]:
    return {"run": kept.run_id, "opening": kept.opening.to_json(), "chunks": kept.chunks}


def _read_kept(body: Mapping[str, Any]) -> MapKept:
    return MapKept(
        run_id=body["run"], opening=MapOpening.from_json(body["opening"]), chunks=body["chunks"]
    )


def item_body(event: ItemGiven) -> dict[str, Any]:
    """As run_event holds it; path and attempt are of the run above, so they stand in here."""
    body = {
        "path": event.path,
        "attempt": event.attempt,
        "run": event.run_id,
        "head": event.head,
        "index": event.index,
        "item": event.item,
        "generation": event.generation,
        "scope": event.scope,
    }
    return body if event.follows is None else body | {"follows": event.follows.to_json()}


def read_item(body: Mapping[str, Any]) -> ItemGiven:
    """The reverse of `item_body`."""
    return ItemGiven(
        path=body["path"],
        attempt=body["attempt"],
        run_id=body["run"],
        head=body["head"],
        index=body["index"],
        item=body["item"],
        generation=body["generation"],
        scope=body["scope"],
        follows=Follows.from_json(body["follows"]) if "follows" in body else None,
    )
