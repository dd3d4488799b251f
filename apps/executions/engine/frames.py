"""Where the steps of a body stand: what `item`, `index` and `nodes` are there, and what came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from apps.executions.engine.plan import Plan
from apps.executions.engine.record import StepRecord
from apps.executions.engine.seeds import ItemGiven
from apps.workflows.graph.declaration import Json

Outputs = Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What surrounds one execution of a plan: nothing for a run, an item for a container's body."""

    prefix: str = ""
    """Of the paths of all steps: `rows[3]/`."""
    scope: str = ""
    """In a run that is an item: where it stands in those above. A part of effects' keys alone."""
    is_run: bool = False
    """It is around a whole run, whose result is what the item comes to."""
    index: int = 0
    item: Json = None
    values: Outputs = field(default_factory=dict)
    """What leaves the container's inner outputs; a port that is absent is not taken."""
    generation: int = 1
    """Of the container, whose steps share it."""
    outer: Mapping[str, Outputs] = field(default_factory=dict)
    """What `nodes.<id>` is for nodes outside."""


RUN_FRAME: Final = Frame()


def item_frame(given: ItemGiven, outer: Mapping[str, Outputs]) -> Frame:
    """Of a run that is an item of a map."""
    return Frame(
        scope=given.scope,
        is_run=True,
        index=given.index,
        item=given.item,
        values={"item": given.item, "index": given.index},
        generation=given.generation,
        outer=outer,
    )


class Upstream(Mapping[str, Outputs]):
    """A live, read-only view of the outputs a step may read, by node: of its level, then outwards.

    `ancestors` is a bit set of positions in `plan`, whose first step has the record at `base`.
    Steps that made no outputs are absent.
    """

    __slots__ = ("_ancestors", "_base", "_outer", "_plan", "_records")

    def __init__(
        self,
        plan: Plan,
        records: Sequence[StepRecord],
        *,
        ancestors: int,
        outer: Mapping[str, Outputs],
        base: int = 0,
    ) -> None:
        self._plan = plan
        self._records = records
        self._ancestors = ancestors
        self._outer = outer
        self._base = base

    def __getitem__(self, node_id: str) -> Outputs:
        """Outputs by port. Raises KeyError for a node that is not before, or did not succeed."""
        position = self._plan.positions.get(node_id)
        if position is None:
            return self._outer[node_id]
        record = self._records[self._base + position].outcome
        if not self._ancestors >> position & 1 or not record.is_readable:
            raise KeyError(node_id)
        return record.outputs

    def __iter__(self) -> Iterator[str]:
        """In the plan's order, from the inside out."""
        yield from (node_id for node_id in self._plan.positions if node_id in self)
        yield from self._outer

    def __len__(self) -> int:
        """How many can be read."""
        return sum(1 for _ in self)


def copied(value: Any) -> Any:
    """JSON, as fresh containers; the runner bounds how deep it may be nested."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def collected(plan: Plan, records: Sequence[StepRecord], *, base: int = 0) -> dict[str, Json]:
    """What arrived at the container's inner inputs, now that the body has ended."""
    arrived: dict[str, Any] = {}
    for link in plan.exits:
        record = records[base + link.source]
        if not record.is_taken(link):
            continue
        value = copied(record.value(link.source_port))
        if link.target_port in plan.lists:
            arrived.setdefault(link.target_port, []).append(value)
        else:
            arrived.setdefault(link.target_port, value)
    return arrived
