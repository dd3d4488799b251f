"""The node types of the tests, for every test of versions."""

from __future__ import annotations

import pytest

from tests.factories.workflows import install_types


@pytest.fixture(autouse=True)
def _types(monkeypatch: pytest.MonkeyPatch) -> None:
    install_types(monkeypatch)
