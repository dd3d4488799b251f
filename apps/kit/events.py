"""Announcements: an app says what happened; apps above it may react, inside the same transaction.

A receiver may only write rows or register after-commit work. If it raises, the publisher's
transaction is rolled back with it: an announcement is part of the fact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import transaction


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base of every announcement; subclasses carry ids, never model instances."""


E = TypeVar("E", bound=Event)
_receivers: dict[type[Event], list[Callable[[Any], None]]] = defaultdict(list)


def on(event_type: type[E]) -> Callable[[Callable[[E], None]], Callable[[E], None]]:
    """Register a receiver; used in `reactions.py`, which each app's `ready()` imports."""

    def register(receiver: Callable[[E], None]) -> Callable[[E], None]:
        if receiver not in _receivers[event_type]:
            _receivers[event_type].append(receiver)
        return receiver

    return register


def publish(event: Event) -> None:
    """Deliver to every receiver now, in the order of registration. Needs an open transaction."""
    if not transaction.get_connection().in_atomic_block:
        message = f"{type(event).__name__} was announced outside a transaction"
        raise RuntimeError(message)
    _deliver(event)


def publish_durable(event: Event) -> None:
    """Deliver what one statement has written, with a transaction around it or by itself.

    Only for events whose receivers write nothing: what they would do after the commit is done at
    once where there is no transaction.
    """
    _deliver(event)


def _deliver(event: Event) -> None:
    for receiver in _receivers[type(event)]:
        receiver(event)
