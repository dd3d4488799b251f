"""Appends that go together: each run has its own answer, nobody waits for a busy sender."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from apps.executions import crashpoints
from apps.executions.engine.codec import encode
from apps.executions.engine.history import RunStarted
from apps.executions.engine.pausing import RunPaused, RunResumed
from apps.executions.engine.slice_ports import Batch, Change, Claim
from apps.executions.engine.state import RunStatus
from apps.executions.models import Run, RunEvent
from apps.executions.store import statements
from apps.executions.store.connections import Connections
from apps.executions.store.convoy import Convoy
from apps.executions.store.statements import Posted
from apps.tenancy import scope
from tests import database
from tests.executions.world import POOL, start
from tests.factories.graphs import chain
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

RUNS = 5


@pytest.fixture
def held() -> Iterator[Connections]:
    connections = Connections(database.url("engine"))
    yield connections
    connections.close_all()


@pytest.fixture
def convoy(held: Connections) -> Convoy:
    return Convoy(held)


@pytest.fixture
def claims(acme: Tenant, held: Connections) -> list[Claim]:
    for _ in range(RUNS):
        start(acme, chain(2))
    worker_id = uuid.uuid4()
    statements.register(
        held.get(), worker_id=worker_id, host="here", pid=1, pools=[POOL], slots=9, lease_seconds=60
    )
    found = statements.claim(held.get(), worker_id=worker_id, pool=POOL, want=9, charges={})
    assert len(found) == RUNS
    return found


def posted(claim: Claim, *, rows: int = 1) -> Posted:
    """The run begins, is paused, goes on, is paused: so many events from the claim's head on."""
    heads = range(claim.head, claim.head + rows)
    told = [
        RunStarted() if at == 1 else RunPaused() if at % 2 == 0 else RunResumed() for at in heads
    ]
    status = RunStatus.PAUSED if isinstance(told[-1], RunPaused) else RunStatus.RUNNING
    batch = Batch(
        head=claim.head,
        rows=tuple(encode(event) for event in told),
        settled=0,
        change=Change(status=status),
    )
    return Posted(claim=claim, batch=batch)


def heads(acme: Tenant, claims: list[Claim]) -> list[tuple[int, str, int]]:
    """Head, state and number of events of each."""
    with scope.tenant(acme.id):
        runs = Run.objects.in_bulk([claim.run_id for claim in claims])
        return [
            (
                runs[one.run_id].head,
                runs[one.run_id].state,
                RunEvent.objects.filter(run_id=one.run_id).count(),
            )
            for one in claims
        ]


def test_what_comes_meanwhile_goes_together(
    acme: Tenant, convoy: Convoy, claims: list[Claim]
) -> None:
    alone = convoy.begin(posted(claims[0]))
    rest = [convoy.begin(posted(claim, rows=at)) for at, claim in enumerate(claims[1:], start=1)]
    assert rest[-1]()  # The last of them fetches what the first has sent, and takes all along.
    assert all(answer() for answer in (alone, *rest))
    assert len(convoy._idle) == 1, "one connection was enough for both flights"
    states = ("RUNNING", "PAUSED", "RUNNING", "PAUSED")
    assert heads(acme, claims) == [
        (2, "RUNNING", 2),
        *((1 + rows, state, 1 + rows) for rows, state in enumerate(states, start=1)),
    ]


def test_who_has_lost_its_run_is_told_so_and_nobody_else(
    acme: Tenant, convoy: Convoy, claims: list[Claim]
) -> None:
    fenced = replace(claims[2], token=uuid.uuid4())
    convoy.begin(posted(claims[0]))
    answers = [convoy.begin(posted(claim)) for claim in (claims[1], fenced, claims[3])]
    assert [answer() for answer in answers] == [True, False, True]
    assert [head for head, *_ in heads(acme, claims)] == [2, 2, 1, 2, 1]


def test_two_owners_of_one_run_never_share_a_flight(
    acme: Tenant, convoy: Convoy, claims: list[Claim]
) -> None:
    convoy.begin(posted(claims[0]))
    before = convoy.begin(posted(replace(claims[1], token=uuid.uuid4())))
    now = convoy.begin(posted(claims[1]))
    assert (now(), before()) == (True, False)
    assert heads(acme, claims)[1] == (2, "RUNNING", 2)


def test_threads_that_append_at_once_all_get_their_answer(
    acme: Tenant, convoy: Convoy, claims: list[Claim]
) -> None:
    gate = threading.Barrier(RUNS)

    def own(claim: Claim) -> list[bool]:
        gate.wait(20)
        ahead = (replace(claim, head=claim.head + at) for at in range(20))
        return [convoy.begin(posted(one))() for one in ahead]

    with ThreadPoolExecutor(RUNS) as threads:
        assert list(threads.map(own, claims)) == [[True] * 20] * RUNS
    assert [head for head, *_ in heads(acme, claims)] == [21] * RUNS
    assert not convoy._lanes, "nothing is kept of a tenant that has nothing under way"


def test_a_lost_answer_is_nobodys_and_the_next_flight_departs(
    acme: Tenant, held: Connections, convoy: Convoy, claims: list[Claim]
) -> None:
    with psycopg.connect(database.url("owner"), autocommit=True) as other:
        with other.transaction():
            other.execute("SELECT set_config('app.tenant', %s, true)", [str(acme.id)])
            other.execute("SELECT FROM run WHERE id = %s FOR UPDATE", [claims[0].run_id])
            stuck = convoy.begin(posted(claims[0]))
            behind = convoy.begin(posted(claims[1]))
            (line,) = (one for one in held._open if one is not held.get())
            held.get().execute("SELECT pg_terminate_backend(%s, 9000)", [line.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            stuck()
    assert behind()
    assert [head for head, *_ in heads(acme, claims[:2])] == [1, 2]


def test_an_append_that_cannot_be_sent_harms_no_other(
    acme: Tenant, convoy: Convoy, claims: list[Claim]
) -> None:
    def fall(point: str) -> None:
        if point == "append.begun":
            raise psycopg.OperationalError("no line")

    crashpoints.arm(fall)
    try:
        answer = convoy.begin(posted(claims[0]))
    finally:
        crashpoints.arm(None)
    behind = convoy.begin(posted(claims[1]))
    assert behind()
    with pytest.raises(psycopg.OperationalError):
        answer()
    assert [head for head, *_ in heads(acme, claims[:2])] == [1, 2]
