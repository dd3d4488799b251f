"""Where the boxes and wires of a workflow's picture go: as drawn, else in layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.workflows.graph.difference import ChangeKind, Changes

BOX_WIDTH: Final = 184
BOX_HEIGHT: Final = 58
COLUMN: Final = 240
ROW: Final = 92
MARGIN: Final = 28
GAP: Final = ROW - BOX_HEIGHT
INSET: Final = 18
"""Around the body of a container."""
NAME_LIMIT: Final = 20
# Beside a state's dot, or a duration, there is less room.
MARKED_LIMIT: Final = 18
NOTED_LIMIT: Final = 15
FITS_A_PHONE: Final = 560
FITS_A_PAGE: Final = 1500
# A picture is a courtesy: a document of thousands of nodes is drawn up to here and says so.
NODE_LIMIT: Final = 400


@dataclass(frozen=True, kw_only=True)
class Box:
    """One node: its place in pixels, what it says, and a mark (a CSS class) such as a run state."""

    id: str
    x: int
    y: int
    name: str
    title: str
    type: str
    family: str
    mark: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One connection as an SVG path; `label` is its condition."""

    path: str
    is_conditional: bool
    label: str


@dataclass(frozen=True, kw_only=True)
class Region:
    """The dashed frame around the body of a container."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture in pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    regions: tuple[Region, ...]
    omitted: int

    @property
    def fit(self) -> str:
        """On a page: `small` stays, `medium` shrinks, `large` shrinks and scrolls."""
        if self.width <= FITS_A_PHONE:
            return "small"
        return "medium" if self.width <= FITS_A_PAGE else "large"

    @property
    def shown(self) -> int:
        """The width it takes where there is room."""
        return round(self.width * 0.78) if self.fit == "large" else self.width


def draw(
    document: Mapping[str, Any],
    *,
    marks: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Drawing:
    """Lay out a workflow document; drafts may be unfinished, so nothing about it is trusted."""
    nodes = [n for n in document.get("nodes") or () if isinstance(n, Mapping) and n.get("id")]
    omitted = max(0, len(nodes) - NODE_LIMIT)
    nodes = nodes[:NODE_LIMIT]
    known = {str(n["id"]) for n in nodes}
    connections = [
        c
        for c in document.get("connections") or ()
        if isinstance(c, Mapping)
        and str(c.get("source")) in known
        and str(c.get("target")) in known
    ]
    parents = _parents(nodes)
    # What leads into a container's body and out of it is said by the frame around both.
    connections = [c for c in connections if not _is_inner(c, parents)]
    places = _drawn(nodes, parents) or _layered(nodes, connections, parents)
    boxes = tuple(_box(n, places, marks or {}, notes or {}) for n in nodes)
    width = max((b.x + BOX_WIDTH for b in boxes), default=0) + MARGIN
    height = max((b.y + BOX_HEIGHT for b in boxes), default=0) + MARGIN
    return Drawing(
        width=width,
        height=height,
        boxes=boxes,
        wires=tuple(_wire(c, places) for c in connections),
        regions=_regions(parents, places),
        omitted=omitted,
    )


def _parents(nodes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The container of each node that is in one; parents that form a circle count as none."""
    known = [str(n["id"]) for n in nodes]
    parents = {str(n["id"]): str(n["parentId"]) for n in nodes if str(n.get("parentId")) in known}
    for key in known:
        seen, at = {key}, parents.get(key)
        while at is not None and at not in seen:
            seen.add(at)
            at = parents.get(at)
        if at is not None:
            parents.pop(key, None)
    return parents


def _is_inner(connection: Mapping[str, Any], parents: Mapping[str, str]) -> bool:
    source, target = str(connection["source"]), str(connection["target"])
    return parents.get(target) == source or parents.get(source) == target


def _box(
    node: Mapping[str, Any],
    places: Mapping[str, tuple[int, int]],
    marks: Mapping[str, str],
    notes: Mapping[str, str],
) -> Box:
    key = str(node["id"])
    kind = str(node.get("type") or "?")
    name = str(node.get("name") or key)
    x, y = places[key]
    return Box(
        id=key,
        x=x,
        y=y,
        name=_short(name, MARKED_LIMIT if key in marks else NAME_LIMIT),
        title=f"{name} ({kind})",
        type=_short(kind, NOTED_LIMIT if notes.get(key) else NAME_LIMIT),
        family=kind.partition(".")[0],
        mark=marks.get(key, ""),
        note=notes.get(key, ""),
    )


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _drawn(
    nodes: Sequence[Mapping[str, Any]], parents: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """The document's positions, moved to the margin; empty if one is missing or two overlap.

    Those of a body are relative to its container's.
    """
    places: dict[str, tuple[int, int]] = {}
    for node in nodes:
        position = node.get("position")
        if not isinstance(position, Mapping):
            return {}
        x, y = position.get("x"), position.get("y")
        if not isinstance(x, int | float) or not isinstance(y, int | float):
            return {}
        places[str(node["id"])] = (
            round(min(max(x, -50_000), 50_000)),
            round(min(max(y, -50_000), 50_000)),
        )
    places = {key: _absolute(key, places, parents) for key in places}
    if not places or _overlap(list(places.values())):
        return {}
    left, top = min(x for x, _ in places.values()), min(y for _, y in places.values())
    return {key: (x - left + MARGIN, y - top + MARGIN) for key, (x, y) in places.items()}


def _overlap(places: Sequence[tuple[int, int]]) -> bool:
    ordered = sorted(places)
    for index, (x, y) in enumerate(ordered):
        for other_x, other_y in ordered[index + 1 :]:
            if other_x - x >= BOX_WIDTH + 12:
                break
            if abs(other_y - y) < BOX_HEIGHT + 12:
                return True
    return False


def _absolute(
    key: str, places: Mapping[str, tuple[int, int]], parents: Mapping[str, str]
) -> tuple[int, int]:
    x, y = places[key]
    while key in parents:
        key = parents[key]
        x, y = x + places[key][0], y + places[key][1]
    return x, y


@dataclass(frozen=True)
class _Block:
    """A node, with its body below it if it has one: what it takes, where the parts are in it."""

    width: int
    height: int
    places: Mapping[str, tuple[int, int]]


def _layered(
    nodes: Sequence[Mapping[str, Any]],
    connections: Sequence[Mapping[str, Any]],
    parents: Mapping[str, str],
) -> dict[str, tuple[int, int]]:
    """Level by level: a container is as large as its body, which stands below it."""
    members: dict[str | None, list[str]] = {}
    for node in nodes:
        members.setdefault(parents.get(str(node["id"])), []).append(str(node["id"]))
    edges = [(str(c["source"]), str(c["target"])) for c in connections]

    def block_of(key: str) -> _Block:
        if key not in members:
            return _Block(BOX_WIDTH, BOX_HEIGHT, {key: (0, 0)})
        body = level_of(key)
        inner = {k: (x + INSET, y + BOX_HEIGHT + INSET) for k, (x, y) in body.places.items()}
        width = max(BOX_WIDTH, body.width + 2 * INSET)
        return _Block(width, BOX_HEIGHT + body.height + 2 * INSET, {key: (0, 0), **inner})

    def level_of(parent: str | None) -> _Block:
        blocks = {key: block_of(key) for key in members.get(parent, ())}
        return _columns(blocks, [(a, b) for a, b in edges if a in blocks and b in blocks])

    return {k: (x + MARGIN, y + MARGIN) for k, (x, y) in level_of(None).places.items()}


def _columns(blocks: Mapping[str, _Block], edges: Sequence[tuple[str, str]]) -> _Block:
    """Each block one column right of its last predecessor, rows near those predecessors."""
    before: dict[str, list[str]] = {key: [] for key in blocks}
    for source, target in edges:
        if source != target:
            before[target].append(source)
    columns: dict[int, list[str]] = {}
    for key, column in _ranks(before).items():
        columns.setdefault(column, []).append(key)
    heights = {
        column: sum(blocks[key].height + GAP for key in members) - GAP
        for column, members in columns.items()
    }
    tallest = max(heights.values(), default=0)
    middle: dict[str, float] = {}
    places: dict[str, tuple[int, int]] = {}
    left = 0
    for column in sorted(columns):
        weight = {
            key: _mean([middle[p] for p in before[key] if p in middle], tallest)
            for key in columns[column]
        }
        top = (tallest - heights[column]) / 2
        for key in sorted(columns[column], key=lambda one: weight[one]):
            block = blocks[key]
            middle[key] = top + block.height / 2
            for inner, (x, y) in block.places.items():
                places[inner] = (left + x, round(top) + y)
            top += block.height + GAP
        left += max(blocks[key].width for key in columns[column]) + COLUMN - BOX_WIDTH
    return _Block(max(left - (COLUMN - BOX_WIDTH), 0), round(tallest), places)


def _ranks(before: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """By key: how many columns stand before it."""
    column = dict.fromkeys(before, 0)
    # At most one pass per node, so a cycle in a draft cannot hold us.
    for _ in before:
        moved = False
        for key in before:
            wanted = max((column[p] + 1 for p in before[key]), default=0)
            if column[key] < wanted < len(before):
                column[key], moved = wanted, True
        if not moved:
            break
    return column


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default / 2


def _wire(connection: Mapping[str, Any], places: Mapping[str, tuple[int, int]]) -> Wire:
    x1, y1 = places[str(connection["source"])]
    x2, y2 = places[str(connection["target"])]
    x1, y1, x2, y2 = x1 + BOX_WIDTH, y1 + BOX_HEIGHT // 2, x2 - 7, y2 + BOX_HEIGHT // 2
    bend = max(28, abs(x2 - x1) // 2)
    condition = connection.get("condition")
    return Wire(
        path=f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}",
        is_conditional=bool(condition) or connection.get("sourcePort") == "error",
        label=str(condition or ""),
    )


def _regions(
    parents: Mapping[str, str], places: Mapping[str, tuple[int, int]]
) -> tuple[Region, ...]:
    """Around each container and all that is in it; what is outside comes first."""
    inside: dict[str, list[str]] = {}
    depth: dict[str, int] = {}
    for key in parents:
        at, level = key, 0
        while at in parents:
            at, level = parents[at], level + 1
            inside.setdefault(at, [at]).append(key)
        depth[key] = level
    found = []
    for container in sorted(inside, key=lambda one: depth.get(one, 0)):
        members = [places[key] for key in inside[container]]
        pad = INSET - 4 - depth.get(container, 0)
        left, top = min(x for x, _ in members) - pad, min(y for _, y in members) - pad
        right, bottom = max(x for x, _ in members), max(y for _, y in members)
        found.append(
            Region(
                x=left,
                y=top,
                width=right - left + BOX_WIDTH + pad,
                height=bottom - top + BOX_HEIGHT + pad,
            )
        )
    return tuple(found)


def marks_of(changes: Changes) -> dict[str, str]:
    """CSS classes by node id that show a difference in the picture of the newer document."""
    return {
        change.node_id: f"is-{change.kind.value.lower()}"
        for change in (*changes.added, *changes.modified)
        if change.kind is not ChangeKind.MOVED
    }
