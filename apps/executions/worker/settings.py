"""How one worker process works, and what it tells the process around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID, uuid4

from apps.executions.engine.plan import RUN_POOL
from apps.executions.engine.ports import StepCall, StepFailed
from apps.executions.worker.lease import BEAT_SECONDS, LEASE_SECONDS, TRUST_SECONDS
from apps.executions.worker.maps.objects import NoObjects, OpenObjects

RUNS_AT_ONCE: Final = 8
TASKS_AT_ONCE: Final = 1
"""Of each pool but the runs' own: as many as the core that a process stands for."""
CPU_POOL: Final = "cpu"
"""One more here: while a step computes, the next is on its way in and the last on its way out."""


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How one process works; the defaults are the product's."""

    conninfo: str = field(repr=False)
    pools: Sequence[str]
    labels: Sequence[str] = ()
    """What this process says of its machine; shown to operators."""
    worker_id: UUID = field(default_factory=uuid4)
    runs_at_once: int = RUNS_AT_ONCE
    tasks_at_once: int = TASKS_AT_ONCE
    lease_seconds: float = LEASE_SECONDS
    beat_seconds: float = BEAT_SECONDS
    trust_seconds: float = TRUST_SECONDS

    def places(self, pool: str) -> int:
        """How many items of a pool this process works on at once."""
        if pool == RUN_POOL:
            return self.runs_at_once
        return self.tasks_at_once + (pool == CPU_POOL)


class Tell(Protocol):
    """Hears where a run's history is now; 0 when only its logs are new."""

    def __call__(self, run_id: UUID, head: int, *, is_over: bool = False) -> None:
        """After the commit; `is_over` with the last event."""


def tell_nobody(run_id: UUID, head: int, *, is_over: bool = False) -> None:
    """Where nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop tells the process around it; none may block for long."""

    tell: Tell = tell_nobody
    ring: Callable[[Collection[str]], None] = lambda _pools: None
    """There is something to claim in these pools, for other processes too."""
    recycle: Callable[[str], None] = lambda _reason: None
    """The process should end soon and be replaced."""
    tick: Callable[[], None] = lambda: None
    """About once a second."""
    read_key: Callable[[StepCall, str], str | StepFailed] = lambda _call, text: text
    """The value of a step's concurrency key."""
    open_objects: OpenObjects = lambda _tenant_id, _run_id: NoObjects()
    """Where the items and results of maps are when they are large."""
