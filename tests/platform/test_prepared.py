"""A second start skips what the first has done, and only that."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.env import ROOT
from config.supervisor import prepared
from config.supervisor.prepared import Preparation


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


def test_a_cluster_is_prepared_once_it_is_noted(cluster: Path) -> None:
    assert not Preparation(cluster).holds()

    Preparation(cluster).note()

    assert Preparation(cluster).holds()


def test_a_new_migration_asks_again(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Preparation(cluster).note()
    monkeypatch.setattr(prepared, "SOURCES", (*prepared.SOURCES, "apps/kit/ids.py"))

    assert not Preparation(cluster).holds()


def test_a_new_cluster_asks_again(cluster: Path) -> None:
    Preparation(cluster).note()
    (cluster / "data" / "nstarx_prepared").unlink()

    assert not Preparation(cluster).holds()


def test_it_depends_on_every_app_that_has_migrations() -> None:
    patterns = [pattern for pattern in prepared.SOURCES if "migrations" in pattern]
    found = {path.parts[-3] for pattern in patterns for path in ROOT.glob(pattern)}

    assert {"tenancy", "executions", "marketplace"} <= found
