"""What journeys need: servers of their own, because those of the test run hold other roles."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product under test starts its own PostgreSQL and Redis."""
    for name in list(os.environ):
        if name.startswith(("NSTARX_", "DATABASE_", "REDIS_")) or name == "DJANGO_SETTINGS_MODULE":
            monkeypatch.delenv(name)
