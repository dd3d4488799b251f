"""Node types of the marketplace's tests: declared once, filed in the installation's catalogue."""

from __future__ import annotations

import pytest

from apps.workflows.graph import catalogue
from tests.marketplace import node_types


@pytest.fixture(scope="session", autouse=True)
def _test_nodes() -> None:
    """Make the test's node types known."""
    catalogue.register_package(node_types)
