"""The buckets of a process: one for each workflow, kept while it is used."""

from __future__ import annotations

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from apps.executions.engine.retry_budget import BURST
from apps.executions.engine.slice_ports import Claim
from apps.executions.worker import throttles
from apps.executions.worker.throttles import Throttles
from tests.engine.cases import plan_of
from tests.engine.simulator import START, World
from tests.factories.graphs import a


def claim(workflow: int) -> Claim:
    world = World(plan_of([a("a")]))
    return replace(world.claim(), workflow_id=uuid.UUID(int=workflow))


def test_a_workflow_has_one_bucket_for_all_threads() -> None:
    kept = Throttles()

    def spend(_: int) -> int:
        return sum(kept.of(claim(1), now=START).take(START) for _ in range(400))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(spend, range(4))) == BURST
    assert kept.of(claim(2), now=START).take(START)
    kept.of(claim(1), now=START).earn(5)
    assert kept.of(claim(1), now=START).take(START)
    assert not kept.of(claim(1), now=START).take(START)
    assert kept.of(claim(1), now=START).take(START + dt.timedelta(seconds=1))


def test_the_least_used_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles, "KEPT", 2)
    kept = Throttles()
    first, second = kept.of(claim(1), now=START), kept.of(claim(2), now=START)
    assert kept.of(claim(1), now=START) is first
    kept.of(claim(3), now=START)
    assert kept.of(claim(1), now=START) is first
    assert kept.of(claim(2), now=START) is not second
