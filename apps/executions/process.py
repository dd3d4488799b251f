"""The engine in this process: what config/worker.py starts and drains."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

import dramatiq
from django.db import connection

from apps.executions import asks, bell, live, relay, unanswered
from apps.executions.engine.ports import StepRunner
from apps.executions.runner.keys import key_of
from apps.executions.runner.local import LocalRunner
from apps.executions.runner.platform import store_of
from apps.executions.runner.process import battery
from apps.executions.store.connections import conninfo_from_settings
from apps.executions.worker.documents import document_of
from apps.executions.worker.loop import EngineLoop
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.workflows.graph import catalogue

logger = logging.getLogger(__name__)

LAST_SECONDS: Final = 3.0
"""Between the end of the loop and the hard end of a process with a stuck step."""


@dataclass
class _Service:
    """The one loop of this process and what stands around it."""

    pools: Sequence[str]
    loop: EngineLoop
    announcer: live.Announcer
    is_ending: bool = field(default=False)


_running: Final[list[_Service]] = []
_ringer: Final = ThreadPoolExecutor(1, thread_name_prefix="engine-ring")
_unrung: Final[set[str]] = set()
"""Pools whose ring waits for the thread: while Redis hangs they do not pile up."""


def start(
    pools: Sequence[str],
    worker_id: UUID | None,
    *,
    ring: Callable[[str], None],
    runner: StepRunner | None = None,
    labels: Sequence[str] = (),
) -> EngineLoop:
    """Begin to claim work of these pools, as this incarnation; `ring` reaches all processes.

    Without a database the process ends, for Dramatiq would keep it alive without an engine; the
    supervisor tries again.
    """
    announcer = live.Announcer()
    used = runner or LocalRunner()
    loop = EngineLoop(
        LoopSettings(
            conninfo=conninfo_from_settings(),
            pools=pools,
            labels=labels,
            worker_id=worker_id or uuid4(),
        ),
        runner=used,
        documents=document_of,
        catalogue=catalogue.INSTALLED,
        hooks=Hooks(
            tell=announcer.announce,
            ring=lambda rung: _ring(rung, ring),
            recycle=_recycle,
            tick=lambda: _tick(used),
            read_key=key_of,
            open_objects=store_of,
        ),
    )
    try:
        loop.start()
    except Exception:
        logger.exception("the engine cannot start")
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    if "sandbox" in pools:
        threading.Thread(target=_prove_sandbox, name="sandbox-proof", daemon=True).start()
    _running.append(_Service(pools=pools, loop=loop, announcer=announcer))
    for pool in pools:
        bell.install(pool, loop)
    broker = dramatiq.get_broker()
    if hasattr(broker, "has_room"):
        broker.has_room = loop.has_room
    loop.ring()
    return loop


def drain(seconds: float) -> None:
    """Start nothing more, wait at most so long for what runs, give the rest back."""
    while _running:
        service = _running.pop()
        service.is_ending = True
        for pool in service.pools:
            bell.install(pool, None)
        service.loop.stop(seconds=seconds)
        service.announcer.close()
        if service.loop.is_stuck():
            # Python waits for every thread at its end; one that cannot be ended would keep us.
            last = threading.Timer(LAST_SECONDS, os._exit, args=(1,))
            last.daemon = True
            last.start()


def _prove_sandbox() -> None:
    """Early, so that an operator reads of it before a step is refused."""
    with suppress(battery.UndecidedError):  # The first step that needs it asks again.
        problem = battery.verdict()
        if problem is not None:
            logger.warning("steps that need the sandbox are refused here: %s", problem)


def _ring(pools: Collection[str], ring: Callable[[str], None]) -> None:
    """Other processes of the pools look at once; from a thread, for Redis may be slow or gone."""
    for pool in pools:
        if pool not in _unrung:
            _unrung.add(pool)
            _ringer.submit(_ring_one, pool, ring)


def _ring_one(pool: str, ring: Callable[[str], None]) -> None:
    _unrung.discard(pool)  # What is committed from here on needs another ring.
    ring(pool)


def _tick(runner: StepRunner) -> None:
    try:
        relay.relay_due()
        asks.ask_due()
        unanswered.look_after_debts()
    except Exception:
        connection.close()  # After a restart of the server this thread's would stay broken.
        raise
    if getattr(runner, "must_recycle", False):
        _recycle("a step overran its time in a thread that cannot be ended")


def _recycle(reason: str) -> None:
    """Ask this process to end in good order; the supervisor starts another."""
    for service in _running:
        if not service.is_ending:
            service.is_ending = True
            logger.warning("this worker ends and is replaced: %s", reason)
            os.kill(os.getpid(), signal.SIGTERM)
