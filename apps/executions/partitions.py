"""Months ahead: partitions of history and logs exist before the runs that need them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import connection

MONTHS_AHEAD: Final = 6


def make_partitions_ahead() -> int:
    """Make what is missing; returns how many. Does nothing for a role that owns no tables."""
    if settings.DATABASE_ROLE != "owner":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT engine_partitions_3(%s)", [MONTHS_AHEAD])
        row = cursor.fetchone()
    return int(row[0]) if row else 0
