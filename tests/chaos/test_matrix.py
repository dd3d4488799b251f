"""A rotating sample of the matrix: nothing is lost, nothing doubled, what comes back is fenced."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from tests.chaos import nursery, sink
from tests.chaos.cells import sample
from tests.chaos.matrix import TOGETHER, Matrix
from tests.factories.tenancy import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


def seed() -> str:
    """Another sample every day; CHAOS_SEED brings one back."""
    return os.environ.get("CHAOS_SEED") or f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"


def test_a_sample_of_the_matrix(acme: Tenant) -> None:
    print(f"CHAOS_SEED={seed()}")  # noqa: T201 - shown when it fails
    with sink.opened() as receiver, nursery.opened(receiver) as workers:
        cases = list(Matrix(acme, receiver, workers).play(sample(seed(), size=TOGETHER)))
        found = {case.cell.name: case.violations for case in cases if case.violations}
        assert not found, workers.log_tail()
    assert any(case.fenced for case in cases), "without a fenced zombie the test is void"
