"""The doctor: says what is here, what is missing, and what to do; its exit code is the answer."""

from __future__ import annotations

import pytest

from config.supervisor import binaries, doctor, ports


@pytest.fixture(autouse=True)
def _servers_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")


def test_a_complete_machine_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run() == 0

    said = capsys.readouterr().out
    for what in ("PostgreSQL", "Redis", "User namespaces", "Sandbox of whole steps", "Cores"):
        assert what in said
    assert "Everything `make up` needs is here." in said


def test_a_missing_server_is_named_with_its_mend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "find_redis", lambda: None)

    assert doctor.run() == 1

    said = capsys.readouterr().out
    assert "MISSING  Redis" in said
    assert "make bootstrap" in said
    assert "Missing: Redis." in said


def test_a_server_that_cannot_be_reached_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:hush@127.0.0.1:{ports.any_free()}/d")

    assert doctor.run() == 1

    said = capsys.readouterr().out
    assert "Cannot log in to PostgreSQL at 127.0.0.1" in said
    assert "hush" not in said
