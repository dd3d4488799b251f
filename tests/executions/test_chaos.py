"""Workers die at random while many runs go on: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import signal
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.executions.test_kill import Sink, process, sink
from tests.executions.world import finished, start, types
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["sink"]
RUNS = 40
KILLS = 4


def test_random_kills(acme: Tenant, globex: Tenant, sink: Sink) -> None:
    chance = random.Random(7)
    kinds = ["pure", "keyed", "reconcilable", "transactional"]
    runs = []
    for number in range(RUNS):
        nodes = [a(f"n{i}", chance.choice(kinds)) for i in range(6)]
        links = [to("n0", "n1"), to("n0", "n2"), to("n1", "n3"), to("n2", "n3.all"), to("n3", "n4")]
        tenant = acme if number % 2 else globex
        runs.append((tenant, start(tenant, raw(nodes, links))))
    with ExitStack() as stack:
        workers = [stack.enter_context(process(sink)) for _ in range(2)]
        for _ in range(KILLS):
            victim = workers.pop(chance.randrange(len(workers)))
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            workers.append(stack.enter_context(process(sink)))
        for tenant, run_id in runs:
            run = finished(tenant, run_id, seconds=120)
            assert run.state == "SUCCEEDED", run.error
            assert max(Counter(types(tenant, run_id)).values()) == 1
    assert all(count <= 1 + KILLS for count in sink.deliveries.values())
    assert len(sink.acted) == len(sink.deliveries)
