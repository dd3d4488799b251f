"""The peers: what each needs, through which door it is asked, and what is compared with what."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Door(StrEnum):
    """How a run is triggered and its end is known."""

    IN_PROCESS = "in process"
    HTTP = "over the network"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One configuration of one product.

    `program` is a module beside this one, `lock` a file of hash-locked Python packages (none: the
    program runs in our environment), `packages` what npm installs at exactly these versions, and
    `server` a file among them that the program starts, with `interpreter` if it has one.
    """

    key: str
    title: str
    program: str
    door: Door
    lock: str | None = None
    packages: tuple[str, ...] = ()
    server: str | None = None
    interpreter: str | None = None
    ports: int = 1
    runs: int = 500
    """Of W3: fewer where so many would take minutes."""
    settings: Mapping[str, str] = field(default_factory=dict)


_NODE: Final = f"node-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}"
_N8N: Final = (f"{_NODE}@24.14.1", "n8n@2.40.7")
_N8N_SERVER: Final = "n8n/bin/n8n"
_TEMPORAL: Final = "bench.peers.programs.temporal"

PEERS: Final[tuple[Peer, ...]] = (
    Peer(
        key="dbos",
        title="DBOS",
        program="bench.peers.programs.dbos",
        door=Door.IN_PROCESS,
        lock="dbos",
    ),
    Peer(
        key="restate",
        title="Restate",
        program="bench.peers.programs.restate",
        door=Door.HTTP,
        lock="restate",
        packages=("@restatedev/restate-server@1.7.12",),
        server=".bin/restate-server",
        ports=4,
    ),
    Peer(
        key="restate-cores",
        title="Restate, a service process per core",
        program="bench.peers.programs.restate",
        door=Door.HTTP,
        lock="restate",
        packages=("@restatedev/restate-server@1.7.12",),
        server=".bin/restate-server",
        ports=4,
        settings={"PEER_WAY": "cores"},
    ),
    Peer(
        key="temporal",
        title="Temporal, activities",
        program=_TEMPORAL,
        door=Door.HTTP,
        lock="temporal",
        runs=50,
    ),
    Peer(
        key="temporal-local",
        title="Temporal, local activities",
        program=_TEMPORAL,
        door=Door.HTTP,
        lock="temporal",
        runs=100,
        settings={"PEER_WAY": "local"},
    ),
    Peer(
        key="n8n",
        title="n8n, saved at the end",
        program="bench.peers.programs.n8n",
        door=Door.HTTP,
        packages=_N8N,
        server=_N8N_SERVER,
        interpreter=f"{_NODE}/bin/node",
        ports=2,
        runs=200,
    ),
    Peer(
        key="n8n-progress",
        title="n8n, saved per node",
        program="bench.peers.programs.n8n",
        door=Door.HTTP,
        packages=_N8N,
        server=_N8N_SERVER,
        interpreter=f"{_NODE}/bin/node",
        ports=2,
        runs=100,
        settings={"PEER_PROGRESS": "1"},
    ),
    Peer(
        key="prefect",
        title="Prefect",
        program="bench.peers.programs.prefect",
        door=Door.IN_PROCESS,
        lock="prefect",
        runs=20,
    ),
)
