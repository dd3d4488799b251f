"""Directories of steps: swept when their process is gone, never while it lives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from apps.executions.runner.directory import StepDirectories, WorkDirectory


@pytest.fixture(autouse=True)
def _own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_step_that_needs_none_makes_none(tmp_path: Path) -> None:
    WorkDirectory(StepDirectories()).remove()

    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_private_and_removed() -> None:
    directories = StepDirectories()
    work = WorkDirectory(directories)
    path = work.path
    (path / "file").write_text("x")

    assert path.stat().st_mode & 0o077 == 0
    work.remove()

    assert not path.exists()
    directories.remove()


def test_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "nstarx-steps-dead"
    left.mkdir()
    (left / ".lock").touch()
    (left / "of a tenant").write_text("private")

    directories = StepDirectories()
    assert directories.root.exists()

    assert not left.exists()
    directories.remove()


def test_what_a_living_process_uses_stays() -> None:
    living, other = StepDirectories(), StepDirectories()
    root = living.root

    assert other.root != root
    assert root.exists()
    living.remove()
    other.remove()
    assert not root.exists()
