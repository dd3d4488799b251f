"""How the path of a step reads: `rows[3]/score` is `score` in the iteration 3 of `rows`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

Place: TypeAlias = tuple[tuple[int, int], ...]


def node_of(path: str) -> str:
    """The node in the document; of a copy that was called again, without its number."""
    return path.rpartition("/")[2].partition("~")[0]


def iteration_of(path: str) -> int | None:
    """The number of the innermost iteration, None outside containers."""
    for segment in reversed(path.split("/")[:-1]):
        _, bracket, number = segment.partition("[")
        if bracket:
            return int(number[:-1])
    return None


def around(path: str) -> Iterator[str]:
    """The step itself, then whatever it is in or was called by, outwards."""
    yield path
    for at in range(len(path) - 1, 0, -1):
        if path[at] in "[/":
            yield path[:at]


def is_kept(path: str, kept: Collection[str]) -> bool:
    """Whether the step, or one that it is in or was called by, is among those."""
    return bool(kept) and any(one in kept for one in around(path))


def place_of(path: str, order: Mapping[str, int]) -> Place:
    """What sorts steps: as the document has them, a container before its iterations."""
    place = []
    for segment in path.split("/"):
        node, bracket, number = segment.partition("[")
        at = order.get(node.partition("~")[0], len(order))
        place.append((at, int(number[:-1]) if bracket else -1))
    return tuple(place)


def placed(paths: Iterable[str], nodes: Iterable[str]) -> list[str]:
    """The paths in the order in which people read them."""
    order = {node: number for number, node in enumerate(nodes)}
    return sorted(paths, key=lambda path: (place_of(path, order), path))
