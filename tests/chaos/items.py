"""Documents with maps: items in memory, items that are runs of their own, items that are undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.workflows.graph.callees import SUBWORKFLOW
from tests.factories.graphs import a, raw, to

Say = Mapping[str, Any]
EFFECTS = ("keyed", "transactional", "reconcilable", "unsafe")


def said(name: str, kind: str = "pure", say: Say | None = None, **fields: Any) -> dict[str, Any]:
    """A node that does as it is told; nobody is there to be asked about an effect in doubt."""
    if kind == "unsafe":
        fields = {"onError": [{"match": {"classes": ["inDoubt", "crash"]}, "do": "fail"}], **fields}
    return a(name, kind, configuration={"say": dict(say or {})}, **fields)


def around(body: list[dict[str, Any]], links: list[dict[str, Any]], ends: str,
           after: dict[str, Any], **opening: Any) -> dict[str, Any]:  # fmt: skip
    """first, then a map `rows` over that body, whose result `ends` gives, then `after`."""
    nodes = [said("first"), said("rows", "each", opening)]
    nodes += [{"parentId": "rows", **node} for node in body]
    begins = body[0]["id"]
    return raw(
        [*nodes, after],
        [
            to("first", "rows"),
            to("rows.item", begins),
            *links,
            to(ends, "rows.result"),
            to("rows.results", after["id"]),
        ],
    )


def mapped(kind: str, say: Say | None = None, *, items: int = 12, **opening: Any) -> dict[str, Any]:
    """A map whose body has an effect for each item, then last."""
    one = said("one", kind, say)
    return around([one], [], "one", said("last", "keyed"), items=items, **opening)


def waiting(
    kind: str, say: Say | None = None, *, pause: float = 0.1, **opening: Any
) -> dict[str, Any]:
    """A map whose items wait before their effect: each is a run of its own."""
    body = [said("pause", "waiting", {"wait": pause}), said("one", kind, say)]
    return around(body, [to("pause", "one")], "one", said("last", "keyed"), **opening)


def nested(kind: str, *, inside: int, **opening: Any) -> dict[str, Any]:
    """A map whose items are runs that map themselves."""
    body = [
        said("inner", "each", {"items": inside, "chunk": 2}),
        said("one", kind, parentId="inner"),
    ]
    links = [to("inner.item", "one"), to("one", "inner.result")]
    return around(body, links, "inner.results", said("last", "keyed"), **opening)


def calling(callee: str, **opening: Any) -> dict[str, Any]:
    """A map whose items call a workflow before their effect: runs that wait for runs."""
    sub = {"id": "sub", "type": SUBWORKFLOW, "configuration": {"workflow": callee}}
    links = [to("begin", "one.all"), to("sub.result", "one.all")]
    body = [said("begin"), sub, said("one", "keyed")]
    return around(body, links, "one", said("last", "keyed"), **opening)


def undone(
    kind: str = "keyed", say: Say | None = None, *, pause: float = 0.0, **opening: Any
) -> dict[str, Any]:
    """A map whose items are undone since what follows it fails; what pauses is a run of its own."""
    body = [said("one", kind, compensation="back")]
    links = []
    if pause:
        body, links = [said("pause", "waiting", {"wait": pause}), *body], [to("pause", "one")]
    fails = said("last", say={"failures": 99}, onError=[{"do": "compensate"}])
    document = around(body, links, "one", fails, **opening)
    document["nodes"].append(said("back", "keyed", say, parentId="rows"))
    return document


def undone_of(document: Mapping[str, Any]) -> frozenset[str]:
    """What must have been done and undone of it."""
    nodes = {node["id"]: node for node in document["nodes"]}
    items = nodes["rows"]["configuration"]["say"]["items"]
    done = {f"rows[{index}]/one" for index in range(items)}
    return frozenset(done | {f"{path}/back" for path in done})


def effects_of(document: Mapping[str, Any]) -> set[str]:
    """The paths of steps that deliver to the sink."""
    nodes = {node["id"]: node for node in document["nodes"]}
    paths: set[str] = set()
    for node in nodes.values():
        saying = (node.get("configuration") or {}).get("say") or {}
        if node["type"].removeprefix("test.") in EFFECTS and not saying.get("silent"):
            paths |= _places(node, nodes)
    return paths


def _places(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> set[str]:
    """Where a node runs: once for each item of each container around it."""
    container = nodes.get(node.get("parentId", ""))
    if container is None:
        return {node["id"]}
    told = container["configuration"]
    times = told.get("max_iterations") or told["say"]["items"]
    inside = range(times)
    return {f"{around}[{at}]/{node['id']}" for around in _places(container, nodes) for at in inside}
