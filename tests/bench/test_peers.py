"""Peers: their programs are asked line by line, what fails is told, the table says who is ahead."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers.catalogue import PEERS, Door
from bench.peers.host import Host, PeerFailed, program
from bench.peers.processes import child
from bench.peers.table import HEAD, Row, line

_PROGRAM = """
import sys
from bench.peers.protocol import serve

def noisy(runs):
    print("what a library says")
    return runs / 2

serve({"w1": noisy, "w2": lambda _: 1 / 0, "w3": lambda _: sys.exit("over")}, version="7.1")
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    command = [sys.executable, "-c", _PROGRAM]
    with program(command, env=os.environ, log=tmp_path / "log") as host:
        yield host


def test_a_program_answers_and_its_noise_goes_elsewhere(host: Host) -> None:
    assert (host.version, host.cases) == ("7.1", ("w1", "w2", "w3"))
    assert host.ask("w1", runs=5) == 2.5
    assert host.ask("w1", runs=6) == 3.0


def test_what_fails_is_told_and_the_next_case_still_runs(host: Host) -> None:
    with pytest.raises(PeerFailed, match="ZeroDivisionError"):
        host.ask("w2", runs=1)
    assert host.ask("w1", runs=2) == 1.0


def test_a_program_that_ends_is_told_with_its_last_words(host: Host) -> None:
    with pytest.raises(PeerFailed, match="over"):
        host.ask("w3", runs=1)


def test_what_a_peer_starts_ends_with_it(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {told}.new; mv {told}.new {told}; wait"
    with child(["sh", "-c", script]):
        while not told.exists():
            pass
        grandchild = int(told.read_text())
        assert _is_alive(grandchild)
    # It has been killed; the kernel needs a moment for it.
    until = time.monotonic() + 10
    while _is_alive(grandchild):
        assert time.monotonic() < until
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(("case", "runs"), [("w1", 1), ("w3", 8)])
def test_a_line_counts_per_step(case: str, runs: int) -> None:
    row = Row(
        peer="dbos",
        version="1",
        door=Door.IN_PROCESS,
        case=case,
        runs=runs,
        peer_seconds=4.0,
        our_seconds={"pure": 1.0, "keyed": 2.0},
        ratios={"pure": 4.0, "keyed": 2.0},
    )
    told = line(row)
    # 40 steps either way.
    assert told.split()[-5:] == ["100.000", "25.000", "4.0x", "50.000", "2.0x"]
    assert len(HEAD) == len(told)


def test_a_case_a_peer_cannot_do_says_why() -> None:
    row = Row(
        peer="n8n",
        version="1",
        door=Door.HTTP,
        case="w4",
        runs=1,
        peer_seconds=None,
        our_seconds={"pure": 0.008},
        ratios={},
        why="it hung up",
    )
    assert line(row).split()[-5:] == ["-", "8.000", "it", "hung", "up"]


def test_every_lock_is_there_and_names_no_registry() -> None:
    locks = Path(__file__).parents[2] / "bench/peers/locks"
    for peer in PEERS:
        if peer.lock is not None:
            text = (locks / f"{peer.lock}.txt").read_text()
            assert "--hash=sha256:" in text
            assert "://" not in text
