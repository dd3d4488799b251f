"""A process dies between a question and its child, or between the child's end and the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from apps.executions import crashpoints
from apps.executions.models import OpenChild
from apps.tenancy import scope
from tests.executions.families import Family
from tests.executions.world import types
from tests.factories.tenancy import Tenant

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("test_nodes"),
]


class Died(BaseException):
    """Nothing catches it: what the transaction wrote is gone with it."""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    crashpoints.arm(None)


@pytest.mark.parametrize(
    ("point", "times"),
    [
        ("start.begun", 1),
        ("start.written", 1),
        ("relay.announced", 1),
        ("relay.committed", 1),
    ],
)
def test_there_is_one_child_and_one_answer(acme: Tenant, point: str, times: int) -> None:
    family = Family(acme)
    run_id = family.start(family.parent(family.child()))
    passed: list[str] = []

    def strike(name: str) -> None:
        if name == point:
            passed.append(name)
            if len(passed) == times:
                raise Died(name)

    crashpoints.arm(strike)
    with family.working():
        died = False
        until = time.monotonic() + 20
        while not died:
            assert time.monotonic() < until
            try:
                family.pass_on()
            except Died:
                died = True
        crashpoints.arm(None)
        assert family.ended(run_id).state == "SUCCEEDED"
    assert len(family.children(run_id)) == 1
    assert types(acme, run_id).count("step.completed sub") == 1
    with scope.tenant(acme.id):
        assert not OpenChild.objects.exists()
