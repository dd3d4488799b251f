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
    places = _drawn(nodes) or _layered([str(n["id"]) for n in nodes], _edges(connections))
    boxes = tuple(_box(n, places, marks or {}, notes or {}) for n in nodes)
    width = max((b.x + BOX_WIDTH for b in boxes), default=0) + MARGIN
    height = max((b.y + BOX_HEIGHT for b in boxes), default=0) + MARGIN
    return Drawing(
        width=width,
        height=height,
        boxes=boxes,
        wires=tuple(_wire(c, places) for c in connections),
        regions=_regions(nodes, places),
        omitted=omitted,
    )


def _edges(connections: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(str(c["source"]), str(c["target"])) for c in connections]


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


def _drawn(nodes: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """The document's positions, moved to the margin; empty if one is missing or two overlap."""
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


def _layered(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Each node one column right of its last predecessor, rows near those predecessors."""
    before: dict[str, list[str]] = {key: [] for key in ids}
    for source, target in edges:
        if source != target:
            before[target].append(source)
    column = dict.fromkeys(ids, 0)
    # At most one pass per node, so a cycle in a draft cannot hold us.
    for _ in ids:
        moved = False
        for key in ids:
            wanted = max((column[p] + 1 for p in before[key]), default=0)
            if column[key] < wanted < len(ids):
                column[key], moved = wanted, True
        if not moved:
            break
    columns: dict[int, list[str]] = {}
    for key in ids:
        columns.setdefault(column[key], []).append(key)
    tallest = max((len(members) for members in columns.values()), default=0)
    row: dict[str, float] = {}
    for index in sorted(columns):
        members = columns[index]
        weight = {k: _mean([row[p] for p in before[k] if p in row], tallest) for k in members}
        members.sort(key=lambda k: weight[k])
        start = (tallest - len(members)) / 2
        for offset, key in enumerate(members):
            row[key] = start + offset
    return {k: (MARGIN + column[k] * COLUMN, MARGIN + round(row[k] * ROW)) for k in ids}


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
    nodes: Sequence[Mapping[str, Any]], places: Mapping[str, tuple[int, int]]
) -> tuple[Region, ...]:
    bodies: dict[str, list[tuple[int, int]]] = {}
    for node in nodes:
        if node.get("parentId"):
            bodies.setdefault(str(node["parentId"]), []).append(places[str(node["id"])])
    found = []
    for members in bodies.values():
        left, top = min(x for x, _ in members) - 14, min(y for _, y in members) - 14
        right, bottom = max(x for x, _ in members), max(y for _, y in members)
        found.append(
            Region(
                x=left,
                y=top,
                width=right - left + BOX_WIDTH + 14,
                height=bottom - top + BOX_HEIGHT + 14,
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
