"""One query for a field of a whole page, though each row's field is resolved by itself.

Rows that were loaded together are peers; the first that needs something loads it for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, prefetch_related_objects

T = TypeVar("T")
V = TypeVar("V")
_MARK = "_graphql_peers"


class Peers:
    """Rows loaded together, and what was loaded for all of them since."""

    def __init__(self, rows: tuple[Any, ...]) -> None:
        self.rows = rows
        self.loaded: dict[str, Mapping[Hashable, Any]] = {}


def share(rows: Iterable[Any]) -> None:
    """Declare that these rows were loaded together."""
    peers = Peers(tuple(rows))
    for row in peers.rows:
        setattr(row, _MARK, peers)


def share_fresh(rows: Iterable[Any]) -> None:
    """The same for those that are not among peers already."""
    fresh = {id(row): row for row in rows if not hasattr(row, _MARK)}
    if fresh:
        share(fresh.values())


def batched(
    row: T, name: str, load: Callable[[tuple[T, ...]], Mapping[Hashable, V]], key: Hashable
) -> V | None:
    """What `load(all peers)` has for `key`; `load` runs once per page and name.

    Rows that were loaded so are peers of each other in turn.
    """
    peers = _peers(row)
    if name not in peers.loaded:
        peers.loaded[name] = load(peers.rows)
        share_fresh(one for one in peers.loaded[name].values() if isinstance(one, Model))
    found: V | None = peers.loaded[name].get(key)
    return found


def related(row: Model, relation: str) -> Any:
    """`row.<relation>` (a forward foreign key), fetched for all peers with one query.

    What is there already, by select_related, becomes peers as well, one object for each row.
    """
    field = row._meta.get_field(relation)
    if not field.is_cached(row):  # type: ignore[union-attr]
        peers = [peer for peer in _peers(row).rows if not field.is_cached(peer)]  # type: ignore[union-attr]
        prefetch_related_objects(peers, relation)
    found = getattr(row, relation)
    if found is not None and not hasattr(found, _MARK):
        peers = [peer for peer in _peers(row).rows if field.is_cached(peer)]  # type: ignore[union-attr]
        one: dict[Any, Any] = {}
        for peer in peers:
            other = getattr(peer, relation)
            if other is not None:
                setattr(peer, relation, one.setdefault(other.pk, other))
        share(one.values())
    return getattr(row, relation)


def _peers(row: Any) -> Peers:
    found = getattr(row, _MARK, None)
    if isinstance(found, Peers):
        return found
    share((row,))
    peers: Peers = getattr(row, _MARK)
    return peers
