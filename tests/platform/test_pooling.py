"""The web's pool hands out the connection that was used last."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from psycopg_pool import ConnectionPool

from config.pooling import Latest, warm_first
from tests import database


def test_the_connection_used_last_is_used_next() -> None:
    with ConnectionPool(database.url("app"), min_size=0, max_size=4, open=False) as pool:
        pool._pool = Latest()
        pool.open()
        held = [pool.getconn() for _ in range(3)]
        for connection in held:
            pool.putconn(connection)
        again = [pool.getconn() for _ in range(3)]
        assert [one.info.backend_pid for one in again] == [
            one.info.backend_pid for one in reversed(held)
        ]
        for connection in again:
            pool.putconn(connection)


def test_the_pool_is_told_before_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    held: Any = connections["default"]
    warm_first()  # Where there is none nothing happens.
    monkeypatch.setitem(held.settings_dict["OPTIONS"], "pool", {"min_size": 0, "max_size": 2})
    try:
        warm_first()
        assert isinstance(held.pool._pool, Latest)
    finally:
        held.close_pool()
