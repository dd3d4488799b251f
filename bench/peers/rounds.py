"""The rounds of `make bench-peers`: each peer beside us, taking turns on every workload."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench import machine
from bench.house import House
from bench.peers import table
from bench.peers.catalogue import PEERS, Peer
from bench.peers.host import Host, PeerFailed, hosted
from bench.peers.installing import NotInstalled, install
from bench.peers.ours import Ours
from bench.peers.table import Row
from bench.product import Product
from bench.progress import note

REPETITIONS: Final = {"w1": 7, "w2": 5, "w3": 3, "w4": 10, "w5sleep": 3, "w5cpu": 3}
IDLE_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.1
"""Between two turns: what the one still tidies shall not slow the other."""


def main(house: House, only: Sequence[str]) -> None:
    """Every peer, or those named; what cannot be installed or fails says so in its line."""
    _say(machine.lines(house.owner_url, directory=house.installation.directory))
    _say(["", "ms per step (W4: ms), medians; x: how many times longer than ours", ""])
    _say([table.HEAD])
    rows: list[Row] = []
    with house.staffed(with_web=True):
        ours = Ours(Product(house.app_url), url=house.installation.url)
        for peer in PEERS:
            if not only or peer.key in only:
                rows += _measure(peer, ours, house)
    if path := os.environ.get("BENCH_JSON"):
        text = json.dumps([asdict(row) for row in rows], indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _measure(peer: Peer, ours: Ours, house: House) -> Iterable[Row]:
    try:
        installed = install(peer)
        note(f"{peer.key}: starting")
        with hosted(peer, installed, owner_url=house.owner_url) as host:
            note("")
            _say([f"{peer.title} ({host.version}), {peer.door} beside ours {peer.door}"])
            for case in host.cases:
                row = _row(peer, host, case, ours)
                note("")
                _say([table.line(row)])
                yield row
    except (NotInstalled, PeerFailed) as error:
        note("")
        _say([f"{peer.title}: left out: {error}"])


def _row(peer: Peer, host: Host, case: str, ours: Ours) -> Row:
    mine = ours.cases(case, peer.door)
    theirs: list[float] = []
    taken: dict[str, list[float]] = {kind: [] for kind in mine}
    repetitions = int(os.environ.get("BENCH_REPETITIONS") or REPETITIONS[case])
    why = ""
    try:
        for repetition in range(-1, repetitions):
            for kind, run in mine.items():
                _rest(case)
                seconds = run(peer.runs)
                if repetition >= 0:
                    taken[kind].append(seconds)
            _rest(case)
            seconds = host.ask(case, runs=peer.runs)
            if repetition >= 0:
                theirs.append(seconds)
            note(f"{peer.key} {case} {max(0, repetition + 1)}/{repetitions}")
    except PeerFailed as error:
        why = str(error)
    pairs = {kind: zip(theirs, seconds, strict=False) for kind, seconds in taken.items()}
    return Row(
        peer=peer.key,
        version=host.version,
        door=peer.door,
        case=case,
        runs=peer.runs,
        peer_seconds=statistics.median(theirs) if theirs else None,
        our_seconds={kind: statistics.median(s) for kind, s in taken.items() if s},
        ratios={k: statistics.median(t / o for t, o in p) for k, p in pairs.items() if theirs},
        why=why,
    )


def _rest(case: str) -> None:
    time.sleep(IDLE_SECONDS if case == "w4" else REST_SECONDS)


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
