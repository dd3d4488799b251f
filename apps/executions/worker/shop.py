"""What all turns of a process share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass, field
from uuid import UUID

from apps.executions.engine.ports import StepCall, StepRunner
from apps.executions.store.connections import Connections
from apps.executions.store.convoy import Convoy
from apps.executions.store.writer import Writer
from apps.executions.worker.keys import KeyReader
from apps.executions.worker.lease import Lease
from apps.executions.worker.logs import LogBook
from apps.executions.worker.maps.lines import ItemSource
from apps.executions.worker.maps.objects import OpenObjects
from apps.executions.worker.plans import Plans
from apps.executions.worker.pool import Pace, SlicePool
from apps.executions.worker.readings import Readings
from apps.executions.worker.settings import Tell
from apps.executions.worker.throttles import Throttles
from apps.executions.worker.trouble import Trouble


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What all turns of a process share."""

    connections: Connections
    convoy: Convoy
    writer: Writer
    lease: Lease
    plans: Plans
    runner: StepRunner
    steps: Executor
    pace: Pace
    logs: LogBook
    tell: Tell
    is_draining: Callable[[], bool]
    is_crowded: Callable[[], bool]
    on_abandoned: Callable[[StepCall], None]
    worker_id: UUID
    readings: Readings
    items: ItemSource = field(default_factory=ItemSource)
    throttles: Throttles = field(default_factory=Throttles)
    open_objects: OpenObjects
    ring: Callable[[Collection[str]], None]
    """There is something to claim in these pools: tell the processes that serve them."""
    read_key: KeyReader
    asked: Callable[[], None]
    """A wait has something to ask of the rest of the product."""
    news: Callable[[], None]
    """An item has ended, or there is a place for one: whoever looks after it is to be woken."""
    trouble: Trouble

    def step_pool(self, runner: StepRunner | None = None) -> SlicePool:
        """What runs the steps of one turn."""
        return SlicePool(
            runner=runner or self.runner,
            executor=self.steps,
            pace=self.pace,
            open_log=self.logs.open,
            on_abandoned=self.on_abandoned,
        )
