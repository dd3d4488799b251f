"""Do the same for every item of a list.

The nodes inside the container run once per item, with `item` and `index`; what reaches the inner
port `result` is the item's result (without a connection to it: the outputs of the last nodes).
Items come as a list, or as lines (`application/x-ndjson`, one JSON value a line); turn a table into
rows first. Up to 1,000,000 items; `max_concurrency` of them run at once, on any number of workers.

When an item fails for good: `failFast` ends the map, `continue` puts null into its place in
`results`, `collect` leaves it out. The last two go on as long as no more items fail than
`tolerated_failures` and `tolerated_percent` allow; without either, whatever fails. `results` are in
the order of the items, a list or, beyond 24 KiB, lines; `failed` is taken when an item failed and
lists {index, code, message}; `summary` is {total, done, failed}. A map that is tried again works on
the failed items only.

Items may wait for time, people, signals and sub-workflows, and hold maps of their own: then each
is a run of its own, shown with the item. Those that wait count among the items at once; a signal
for one is sent to its run.

Fails with MAP_ITEM_FAILED, MAP_FAILURES_EXCEEDED, MAP_ITEMS_INVALID, MAP_TOO_LARGE.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from pydantic import JsonValue

from apps.workflows.graph.context import ArtifactRef
from apps.workflows.graph.declaration import (
    Effect,
    Example,
    Inputs,
    NodeContext,
    NodeError,
    NodeParameters,
    Outputs,
    Port,
    PortSpec,
    field,
    node,
)
from apps.workflows.graph.mapping import (
    CHUNK_SIZE,
    LINES,
    MAX_CHUNK,
    MAX_ITEMS,
    MapOpening,
    Policy,
)

INLINE_BYTES = 16 * 1024
VALUE = "application/vnd.nstarx.value+json"
"""How the platform stores a list that was too large to travel inline."""


class Parameters(NodeParameters):
    """What is repeated how."""

    items: JsonValue = field(None, title="Items", description="Instead of the connection.")
    max_concurrency: int = field(8, title="Items at once", ge=1, le=1_000)
    chunk_size: int | None = field(
        None,
        title="Items per slice",
        description="What a worker takes at once.",
        ge=1,
        le=MAX_CHUNK,
    )
    on_item_error: Policy = field(Policy.FAIL_FAST, title="When an item fails")
    tolerated_failures: int | None = field(None, title="Failures tolerated", ge=0)
    tolerated_percent: float | None = field(None, title="Percent tolerated", ge=0, le=100)


@node(
    "control.map",
    version=1,
    title="For each",
    effect=Effect.PURE,
    container=True,
    icon="repeat",
    inputs={
        "items": PortSpec(type=Port.ANY, configured_by="items", by_reference=True),
        "result": PortSpec(type=Port.ANY, required=False, inner=True),
    },
    outputs={
        "item": PortSpec(type=Port.ANY, inner=True),
        "index": PortSpec(type=Port.JSON, inner=True, required=False),
        "results": Port.ANY,
        "failed": PortSpec(type=Port.ANY, required=False),
        "summary": Port.JSON,
    },
    example=Example(inputs={"items": [1, 2]}, outputs={"results": [1, 2]}),
)
def map_items(parameters: Parameters, inputs: Inputs, context: NodeContext) -> Outputs | MapOpening:
    """Look at the items; the engine does the rest."""
    given = inputs.get("items", parameters.items)
    total, items = _kept(given, context)
    concurrency = parameters.max_concurrency
    return MapOpening(
        total=total,
        items=items,
        chunk_size=parameters.chunk_size or _chunk_size(total, concurrency),
        concurrency=concurrency,
        policy=parameters.on_item_error,
        tolerated=_tolerated(parameters, total),
    )


def _chunk_size(total: int, concurrency: int) -> int:
    """Slices for everybody, and none so large that a death costs much."""
    return max(1, min(CHUNK_SIZE, math.ceil(total / concurrency)))


def _tolerated(parameters: Parameters, total: int) -> int | None:
    if parameters.on_item_error is Policy.FAIL_FAST:
        return 0
    limits = [parameters.tolerated_failures]
    if parameters.tolerated_percent is not None:
        limits.append(math.floor(total * parameters.tolerated_percent / 100))
    return min((limit for limit in limits if limit is not None), default=None)


def _kept(given: Any, context: NodeContext) -> tuple[int, Any]:
    """How many items there are, and where they are from now on."""
    if isinstance(given, list):
        if len(json.dumps(given, ensure_ascii=False).encode()) <= INLINE_BYTES:
            return len(given), given
        return _stored(given, context)
    if not ArtifactRef.is_reference(given):
        raise NodeError("MAP_ITEMS_INVALID", "The items must be a list; wrap a single one in [ ].")
    reference = ArtifactRef.from_json(given)
    with context.artifacts.open(reference) as stream:
        match reference.media_type:
            case str() as kind if kind == LINES:
                return _limited(_count(stream)), reference.to_json()
            case str() as kind if kind == VALUE:
                return _stored(_elements(stream), context)
    raise NodeError(
        "MAP_ITEMS_INVALID",
        f"The items are {reference.media_type}; a map takes a list or {LINES}. Convert them first.",
    )


def _stored(items: Iterable[Any], context: NodeContext) -> tuple[int, Any]:
    target = context.work_directory / "items.ndjson"
    total = 0
    with target.open("wb") as file:
        for item in items:
            total = _limited(total + 1)
            text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
            file.write(text.encode() + b"\n")
    return total, context.artifacts.put(target, media_type=LINES).to_json()


def _count(stream: BinaryIO) -> int:
    return sum(1 for line in stream if line.strip())


def _elements(stream: BinaryIO) -> Iterator[Any]:
    """The elements of a JSON list, one at a time: the list itself is never in memory."""
    text = stream.read().decode()
    decoder = json.JSONDecoder()
    at = _after_space(text, 0)
    if text[at : at + 1] != "[":
        raise NodeError("MAP_ITEMS_INVALID", "The items must be a list; wrap a single one in [ ].")
    at = _after_space(text, at + 1)
    while text[at] != "]":
        item, at = decoder.raw_decode(text, at)
        yield item
        at = _after_space(text, at)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _limited(total: int) -> int:
    if total > MAX_ITEMS:
        raise NodeError(
            "MAP_TOO_LARGE", f"A map takes at most {MAX_ITEMS:,} items: split the list before it."
        )
    return total
