"""Maps whose workers die and stop: every item has its effect once, and its outcome."""

from __future__ import annotations

import random
import signal
import time
import uuid

import pytest

from apps.executions.models import MapItem, Run, WorkItem
from apps.executions.verify import verify_tenant
from apps.kit.ids import uuid7
from apps.tenancy import scope
from tests.chaos import nursery, sink
from tests.chaos.items import effects_of, mapped
from tests.chaos.matrix import begin, ended
from tests.chaos.nursery import LEASE, TRUSTING, Nursery, Worker
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ITEMS = 90
KILLS = 4
PACE = {"seconds": 0.15}
KINDS = ("keyed", "unsafe")


def storm(workers: Nursery, chance: random.Random) -> None:
    """Workers die one after the other; one is stopped beyond its lease and comes back."""
    crew = [workers.born(["io"], settings=TRUSTING) for _ in range(3)]
    for number in range(KILLS):
        for worker in crew:
            assert workers.hear(worker, "ready"), workers.log_tail()
        time.sleep(chance.uniform(0.3, 0.8))
        victim = crew.pop(chance.randrange(len(crew)))
        if number == 1:
            victim.signal(signal.SIGSTOP)
            crew.append(workers.born(["io"], settings=TRUSTING))
            _dead(workers, crew, chance)
            time.sleep(LEASE + 0.5)
            victim.signal(signal.SIGCONT)
            continue
        workers.kill(victim)
        crew.append(workers.born(["io"], settings=TRUSTING))


def _dead(workers: Nursery, crew: list[Worker], chance: random.Random) -> None:
    """One more dies while another is stopped."""
    victim = crew.pop(chance.randrange(len(crew)))
    workers.kill(victim)
    crew.append(workers.born(["io"], settings=TRUSTING))


def start(acme: Tenant, workers: Nursery, kind: str) -> tuple[uuid.UUID, set[str]]:
    """A map whose items take a while."""
    version = uuid7()
    document = mapped(kind, PACE, items=ITEMS, chunk=10, concurrency=6)
    workers.know({str(version): document})
    return begin(acme, version, pool="io", slots=2), effects_of(document)


def outcomes(acme: Tenant, run: Run) -> dict[str, str | None]:
    """By path of the item's step: None when it is done, else the code of its failure."""
    with scope.tenant(acme.id):
        rows = list(MapItem.objects.of_map(run.pk, "rows"))
    return {f"rows[{row.idx}]/one": row.error and row.error["code"] for row in rows}


def test_items_survive_kills_and_stops(acme: Tenant) -> None:
    with sink.opened() as receiver, nursery.opened(receiver) as workers:
        runs = {kind: start(acme, workers, kind) for kind in KINDS}
        storm(workers, random.Random("maps"))
        found = {}
        for kind, (run_id, wanted) in runs.items():
            run = ended(acme, run_id, seconds=60)
            assert run is not None, workers.log_tail()
            assert run.state == "SUCCEEDED", run.error
            found[kind] = outcomes(acme, run)
            done = receiver.done(str(run_id))
            said_done = {path for path, code in found[kind].items() if code is None} | {"last"}
            assert set(found[kind]) | {"last"} == wanted
            assert said_done <= done, "an outcome without its effect"
            assert done <= wanted
        assert set(found["keyed"].values()) == {None}, "a kept key may be sent again"
        assert set(found["unsafe"].values()) <= {None, "EFFECT_IN_DOUBT"}
        assert receiver.doubled() == []
        with scope.tenant(acme.id):
            assert not WorkItem.objects.exists()
    assert verify_tenant(acme.id) == []
