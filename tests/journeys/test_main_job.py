"""The main job as a test: the same chapters as `make demo`, every expectation held."""

from __future__ import annotations

import os

import pytest

from tests.journeys.main_job import story


@pytest.fixture
def _own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product under test brings its own servers: those of the test run hold other roles."""
    for name in list(os.environ):
        if name.startswith(("NSTARX_", "DATABASE_", "REDIS_")) or name == "DJANGO_SETTINGS_MODULE":
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("_own_servers")
def test_the_main_job_holds() -> None:
    ledger = story.tell(quiet=True)

    assert [(line.what, line.saw) for line in ledger.lines if not line.held] == []
    assert ledger.all_held
