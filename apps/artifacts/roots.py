"""Who refers to artifacts: apps above say so here; what none of them names is garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Root = Callable[[], Iterable[str]]
"""Every digest an app refers to in the scope in force; it opens its own transactions."""

_roots: dict[str, Root] = {}


def register_root(name: str, find: Root) -> None:
    """Called by an app's `reactions.py`, e.g. `register_root("history", digests_in_history)`."""
    _roots[name] = find


def registered() -> tuple[str, ...]:
    """The names of the roots, sorted."""
    return tuple(sorted(_roots))


def referenced() -> frozenset[str]:
    """The union over all roots for the tenant in force. Raises LookupError when there are none."""
    if not _roots:
        message = "No app has registered what it refers to: everything would look like garbage."
        raise LookupError(message)
    return frozenset(digest for find in _roots.values() for digest in find())
