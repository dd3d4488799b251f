"""Rules in any order on the real database; `make model` tries many more."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.checks import connected
from tests.chaos.machine import Engine
from tests.examples import EXAMPLES, examples
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def test_any_order_of_events_leaves_every_invariant(acme: Tenant) -> None:
    with connected() as connection:
        machine = type("Machine", (Engine,), {"tenant": acme, "connection": connection})
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None,
                max_examples=examples(5),
                stateful_step_count=15,
                derandomize=EXAMPLES not in os.environ,
                suppress_health_check=list(HealthCheck),
            ),
        )
