"""REST calls on the real ASGI application, and a worker that finds its versions itself."""

from __future__ import annotations

import asyncio
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from apps.executions import live
from apps.executions.engine.ports import StepOutcome, StepRunner
from apps.executions.models import Run
from apps.executions.worker.documents import document_of
from apps.executions.worker.loop import EngineLoop
from apps.executions.worker.settings import Hooks, LoopSettings
from apps.tenancy import scope
from apps.tenancy.models import EnvironmentKind
from apps.versions.actions import commit_version, deploy_version
from apps.workflows.actions import create_workflow
from apps.workflows.graph import catalogue
from config.asgi import application
from tests import database
from tests.executions.world import POOL, ScriptedRunner
from tests.factories import tenancy as make
from tests.factories.graphs import a, raw, to
from tests.graphql.calls import key_of

PARAMETER = {"name": "city", "schema": {"type": "string"}, "default": "Bern"}


class Program:
    """A client with a key, or without one."""

    def __init__(self, key: str | None) -> None:
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def call(self, method: str, path: str, **given: Any) -> httpx.Response:
        """One call."""
        (answer,) = self.calls([(method, path, given)])
        return answer

    def calls(self, wanted: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Several at once."""

        async def talk() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=application)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as one:
                one.headers.update(self.headers)
                asked = [one.request(method, path, **given) for method, path, given in wanted]
                return await asyncio.gather(*asked)

        return asyncio.run(talk())

    def start(self, workflow: uuid.UUID | str, *, wait: object = 0, **given: Any) -> httpx.Response:
        """Start a run in production."""
        given.setdefault("json", {"environment": "PRODUCTION"})
        return self.call("POST", f"/api/v1/workflows/{workflow}/runs?wait={wait}", **given)


def program(of: make.Tenant, *scopes: str) -> Program:
    return Program(key_of(of.owner, *scopes))


def deployed(tenant: make.Tenant, effect: str = "pure", steps: int = 2) -> uuid.UUID:
    """A chain that stands in production; its outputs are the paths."""
    names = [f"n{number}" for number in range(steps)]
    links = [to(one, other) for one, other in itertools.pairwise(names)]
    drawn = raw([a(name, effect) for name in names], links, parameters=[PARAMETER])
    with scope.tenant(tenant.id, actor=tenant.owner):
        workflow = create_workflow(actor=tenant.owner, document=drawn)
        version = commit_version(actor=tenant.owner, workflow_id=workflow.pk, message="x")
        deploy_version(
            actor=tenant.owner, version_id=version.pk, environment=EnvironmentKind.PRODUCTION
        )
        found: uuid.UUID = workflow.pk
    return found


@contextmanager
def engine(
    script: Callable[..., StepOutcome] | None = None,
    *,
    tells: bool = True,
    runner: StepRunner | None = None,
) -> Iterator[None]:
    """A worker of this process that finds the versions in the database."""
    announcer = live.Announcer()
    loop = EngineLoop(
        LoopSettings(conninfo=database.url("engine"), pools=[POOL]),
        runner=runner or ScriptedRunner(script=script),
        documents=document_of,
        catalogue=catalogue.INSTALLED,
        hooks=Hooks(tell=announcer.announce) if tells else Hooks(),
    )
    loop.start()
    over = threading.Event()

    def ring() -> None:
        while not over.wait(0.02):
            loop.ring()

    ringing = threading.Thread(target=ring)
    ringing.start()
    try:
        yield
    finally:
        over.set()
        ringing.join()
        loop.stop(seconds=5)
        announcer.close()


def runs_of(tenant: make.Tenant) -> int:
    with scope.tenant(tenant.id):
        return int(Run.objects.count())
