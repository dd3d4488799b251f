"""Node types of the tests in the installation's catalogue, and invariants after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.executions.verify import verify_tenant
from apps.workflows.graph import catalogue
from tests.factories.graphs import TYPES


@pytest.fixture
def test_nodes() -> Iterator[None]:
    """The tests' node types, known to the whole process for one test."""
    installed = dict(catalogue.INSTALLED._by_key)
    for node_type in TYPES:
        # One of the tests' may stand for one of the house.
        catalogue.INSTALLED._by_key.pop(node_type.key, None)
        catalogue.register(node_type)
    yield
    catalogue.INSTALLED._by_key.clear()
    catalogue.INSTALLED._by_key.update(installed)


@pytest.fixture(autouse=True)
def _invariants(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did, the engine's invariants hold at its end."""
    names = [name for name in ("acme", "globex") if name in request.fixturenames]
    tenants = [request.getfixturevalue(name) for name in names]
    yield
    for tenant in tenants:
        assert verify_tenant(tenant.id) == []
