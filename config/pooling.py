"""The web's connections: the one that was used last is used next."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

from django.db import connections

T = TypeVar("T")


class Latest(deque[T]):
    """Whoever takes from the left gets what came last."""

    def popleft(self) -> T:
        """The last one."""
        return self.pop()


def warm_first() -> None:
    """Before the first connection is made.

    What PostgreSQL keeps for a connection (plans, rows of its catalogue) is cold where it has
    rested: after a burst, calls that are seconds apart would each meet another one of sixteen.
    """
    pool: Any = getattr(connections["default"], "pool", None)
    if pool is not None:
        pool._pool = Latest(pool._pool)
