"""The main job as a test: the same chapters as `make demo`, every expectation held."""

from __future__ import annotations

import pytest

from tests.journeys.main_job import story


@pytest.mark.usefixtures("own_servers")
def test_the_main_job_holds() -> None:
    ledger = story.tell(quiet=True)

    assert [(line.what, line.saw) for line in ledger.lines if not line.held] == []
    assert ledger.all_held
