"""A run that its workflow's bounds hold back: it may end, but not begin."""

from __future__ import annotations

import datetime as dt
import uuid

from apps.executions.engine.decide import CancelRequest
from apps.executions.engine.slice_ports import Inbox, Left
from apps.executions.engine.state import RunStatus
from tests.engine.cases import plan_of, types
from tests.engine.simulator import START, World
from tests.factories.graphs import a


def test_it_reads_its_mail_and_parks_without_beginning() -> None:
    world = World(plan_of([a("a")]))
    world.mail.append(Inbox(ids=(uuid.UUID(int=9),)))
    assert world.slice(is_held=True).left is Left.PARKED
    assert types(world) == ["run.queued"]
    assert world.batches[-1].change.consumed == (uuid.UUID(int=9),)
    assert world.finish().status is RunStatus.SUCCEEDED


def test_it_can_be_canceled() -> None:
    world = World(plan_of([a("a")]))
    world.mail.append(Inbox(ids=(uuid.UUID(int=9),), cancel=CancelRequest(by="Ada")))
    assert world.slice(is_held=True).left is Left.FINISHED
    assert types(world) == ["run.queued", "run.canceling", "run.canceled"]


def test_its_time_may_be_over_before_it_begins() -> None:
    world = World(plan_of([a("a")]), deadline_at=START + dt.timedelta(seconds=3))
    world.now += dt.timedelta(seconds=4)
    assert world.slice(is_held=True).state.status is RunStatus.TIMED_OUT
