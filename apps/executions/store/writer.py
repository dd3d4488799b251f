"""The pure steps' way to the disk: what all runs of the process have posted, in one transaction."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from apps.executions.crashpoints import crashpoint
from apps.executions.engine.slice_ports import Batch, LeaseLost
from apps.executions.store import appends
from apps.executions.store.connections import Connections
from apps.executions.store.resilient import Patience, append_surely
from apps.executions.store.statements import Posted

logger = logging.getLogger(__name__)

ROWS_LIMIT: Final = 256
Done = Callable[[bool], None]
"""Told once whether the batch is durable; False when the fence was lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    posted: Posted
    done: Done


class Writer:
    """One thread that takes everything that has accumulated and commits it together.

    It never waits for company: under load batches grow by themselves. A run whose fence is lost
    drops out without failing the others.
    """

    def __init__(self, connections: Connections, patience: Patience) -> None:
        self._connections = connections
        self._patience = patience
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine-writer", daemon=True)
        self._thread.start()

    def post(self, posted: Posted, done: Done) -> None:
        """Take a batch; `done` is called on the writer's thread."""
        self._queue.put(_Entry(posted=posted, done=done))

    def close(self) -> None:
        """Write what is left and end."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            entries, count = [first], len(first.posted.batch.rows)
            is_last = False
            while count < ROWS_LIMIT:
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
                if entry is None:
                    is_last = True
                    break
                entries.append(entry)
                count += len(entry.posted.batch.rows)
            self._write(entries)
            if is_last:
                break

    def _write(self, entries: Sequence[_Entry]) -> None:
        merged = _merged(entries)
        try:
            crashpoint("batch.begun")
            held = self._together(merged)
            crashpoint("batch.committed")
        except Exception:
            logger.warning("a batch of %d runs failed, writing them singly", len(merged))
            self._connections.drop()
            held = self._singly(merged)
        tokens = {post.claim.token for post in merged if post.claim.run_id in held}
        for entry in entries:
            entry.done(entry.posted.claim.token in tokens)

    def _together(self, posts: Sequence[Posted]) -> set[UUID]:
        connection = self._connections.get()
        tenants: dict[UUID, list[Posted]] = {}
        for post in posts:
            tenants.setdefault(post.claim.tenant_id, []).append(post)
        if len(posts) == 1:
            (only,) = posts
            done = appends.append(connection, only.claim, only.batch)
            return {only.claim.run_id} if done else set()
        if len(tenants) == 1:
            (tenant_id, mine), *_ = tenants.items()
            return appends.append_batch(connection, tenant_id, mine)
        held: set[UUID] = set()
        with connection.transaction():
            for tenant_id in sorted(tenants):
                held |= appends.append_batch(connection, tenant_id, tenants[tenant_id])
        return held

    def _singly(self, posts: Sequence[Posted]) -> set[UUID]:
        held = set()
        for post in posts:
            try:
                append_surely(
                    self._connections, self._patience, post.claim, post.batch, is_sure=False
                )
            except LeaseLost:
                continue
            except Exception:
                logger.exception("a batch of run %s cannot be written", post.claim.run_id)
                continue
            held.add(post.claim.run_id)
        return held


def _merged(entries: Sequence[_Entry]) -> list[Posted]:
    """One batch per run, in the order of run ids: what two writers lock, they lock in one order.

    Where a run has been claimed anew meanwhile only the new owner's counts: both began at one head.
    """
    runs: dict[UUID, Posted] = {}
    for entry in entries:
        posted = entry.posted
        before = runs.get(posted.claim.run_id)
        goes_on = before is not None and before.claim.token == posted.claim.token
        runs[posted.claim.run_id] = _joined(before, posted) if before and goes_on else posted
    return [runs[run_id] for run_id in sorted(runs)]


def _joined(before: Posted, after: Posted) -> Posted:
    batch = Batch(
        head=before.batch.head,
        rows=before.batch.rows + after.batch.rows,
        settled=before.batch.settled + after.batch.settled,
        change=before.batch.change.joined(after.batch.change),
    )
    return Posted(claim=after.claim, batch=batch)
