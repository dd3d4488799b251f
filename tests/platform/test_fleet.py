"""The fleet: what dies is noted at once and started again with a new identity."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from config.supervisor.fleet import Fleet, Member
from config.supervisor.processes import Command


class Ledger:
    """What a fleet of one told us."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.started: list[UUID] = []
        self.died: list[UUID] = []

    def member(self, *argv: str, log: Path | None = None) -> Member:
        def command(incarnation: UUID) -> Command:
            self.started.append(incarnation)
            return Command(name="member", argv=argv, log=log)

        return Member(name="member", command=command, died=self.died.append)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def sleeping(ledger: Ledger) -> Iterator[Fleet]:
    fleet = Fleet([ledger.member("sleep", "1000")], report=ledger.lines.append)
    fleet.start()
    yield fleet
    fleet.stop()


def look_until(fleet: Fleet, *, starts: int, ledger: Ledger) -> None:
    while len(ledger.started) < starts:
        fleet.look()
        time.sleep(0.01)


def test_a_killed_process_is_reported_and_replaced(sleeping: Fleet, ledger: Ledger) -> None:
    first = sleeping.processes()["member"]

    os.kill(first, signal.SIGKILL)
    look_until(sleeping, starts=2, ledger=ledger)

    assert sleeping.processes()["member"] != first
    assert ledger.died == ledger.started[:1]
    assert ledger.started[0] != ledger.started[1]
    assert ledger.lines == ["member ended (exit code -9); starting it again in 0.5 s"]


def test_a_process_that_keeps_failing_waits_longer_each_time(
    ledger: Ledger, tmp_path: Path
) -> None:
    log = tmp_path / "member.log"
    fleet = Fleet([ledger.member("false", log=log)], report=ledger.lines.append)
    fleet.start()
    look_until(fleet, starts=3, ledger=ledger)
    fleet.stop()

    assert [line.split(" in ")[1] for line in ledger.lines[:2]] == [
        f"0.5 s (its log: {log})",
        f"1 s (its log: {log})",
    ]


def test_nothing_changes_while_all_is_well(sleeping: Fleet, ledger: Ledger) -> None:
    assert sleeping.look() is False
    assert ledger.lines == []
    assert sleeping.ended() == []


def test_stop_ends_every_process(sleeping: Fleet) -> None:
    pid = sleeping.processes()["member"]

    sleeping.stop()

    assert sleeping.ended() == ["member"]
    assert not Path(f"/proc/{pid}").exists()
