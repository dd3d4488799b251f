"""A tenant, its workflows, and runs of them through the product's own action.

Import it where DJANGO_SETTINGS_MODULE and the app login stand in the environment.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import psycopg

django.setup()

from apps.executions.actions import start_run  # noqa: E402 - after setup, as in config/worker.py
from apps.executions.models import TriggerKind  # noqa: E402
from apps.tenancy import doors, limits, scope  # noqa: E402
from apps.tenancy.actions import create_organization  # noqa: E402
from apps.tenancy.actions.keys import create_api_key  # noqa: E402
from apps.tenancy.actors import Actor, Permission  # noqa: E402
from apps.tenancy.limits import Metric  # noqa: E402
from apps.tenancy.models import EnvironmentKind, User  # noqa: E402
from apps.tenancy.scope import Scope, enter  # noqa: E402
from apps.versions.actions import commit_version, deploy_version  # noqa: E402
from apps.workflows.actions import create_workflow  # noqa: E402
from bench import nodes  # noqa: E402

STARTERS = 8
PATIENCE_SECONDS = 300.0
MANY = 10_000_000
_STARTS = (Metric.RUNS_PER_MONTH, Metric.QUEUED_RUNS, Metric.STARTS_PER_MINUTE)

nodes.register()


class Product:
    """One organization on the largest plan; starts and watches its runs."""

    def __init__(self, app_url: str, *, slug: str = "bench") -> None:
        founder = User.objects.create_user(f"{slug}@example.com", uuid.uuid4().hex)
        organization = create_organization(
            founder=founder, slug=slug, name=slug.title(), plan_key="business"
        )
        place = doors.place_of(founder, slug=slug)
        if place is None:
            raise RuntimeError("the founder has no place in the organization")
        self.tenant_id: uuid.UUID = organization.pk
        self.owner = place.actor
        self.actor = Actor.system(self.tenant_id, "bench")
        # More than any plan has room for.
        with scope.tenant(self.tenant_id, actor=self.actor):
            limits.set_limits(dict.fromkeys(_STARTS, MANY))
        self.watch = Watch(app_url, tenant_id=self.tenant_id)
        self._starters = ThreadPoolExecutor(STARTERS, thread_name_prefix="start")

    def deploy(self, document: Mapping[str, Any]) -> uuid.UUID:
        """A workflow whose first version stands in production; returns its id."""
        with scope.tenant(self.tenant_id, actor=self.actor):
            workflow = create_workflow(actor=self.actor, document=document)
            version = commit_version(actor=self.actor, workflow_id=workflow.pk, message="Bench")
            deploy_version(
                actor=self.actor, version_id=version.pk, environment=EnvironmentKind.PRODUCTION
            )
            return workflow.pk

    def api_key(self) -> str:
        """A key that may start runs."""
        with enter(Scope.of(self.owner)):
            issued = create_api_key(
                actor=self.owner,
                name="bench",
                scopes=[Permission.WORKFLOWS_READ, Permission.WORKFLOWS_RUN],
            )
        return issued.text

    def start(self, workflow_id: uuid.UUID) -> uuid.UUID:
        """The product's own action, in the tenant's scope."""
        with enter(Scope(tenant_id=self.tenant_id, actor=self.actor)):
            run = start_run(
                actor=self.actor,
                workflow_id=workflow_id,
                environment=EnvironmentKind.PRODUCTION,
                trigger=TriggerKind.API,
            )
        return run.pk

    def start_many(self, workflow_id: uuid.UUID, count: int) -> None:
        """As many threads as the floor has."""
        list(self._starters.map(lambda _: self.start(workflow_id), range(count)))


class Watch:
    """What a client sees of its runs, on a connection that is bound to the tenant."""

    def __init__(self, app_url: str, *, tenant_id: uuid.UUID) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(
            app_url, autocommit=True, options=f"-c app.tenant={tenant_id}"
        )

    def until_done(
        self, run_id: uuid.UUID, *, look: float, patience: float = PATIENCE_SECONDS
    ) -> None:
        """Until the end of a run is visible, looking each `look` seconds."""
        query = "SELECT state, error FROM run WHERE id = %s AND finished_at IS NOT NULL"
        until = time.monotonic() + patience
        while time.monotonic() < until:
            row = self._connection.execute(query, (run_id,), prepare=True).fetchone()
            if row is not None:
                _require(*row)
                return
            time.sleep(look)
        raise TimeoutError("the run did not end: are the workers alive?")

    def until_all_done(self, *, look: float) -> None:
        """Until no run of the tenant is open."""
        query = "SELECT EXISTS (SELECT FROM run WHERE finished_at IS NULL)"
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            row = self._connection.execute(query, prepare=True).fetchone()
            if row is not None and not row[0]:
                return
            time.sleep(look)
        raise TimeoutError("the runs did not end: are the workers alive?")

    def require_all_succeeded(self) -> None:
        """No run of the tenant has ended otherwise."""
        query = "SELECT state, error FROM run WHERE state <> 'SUCCEEDED' LIMIT 1"
        row = self._connection.execute(query).fetchone()
        if row is not None:
            _require(*row)

    def seconds_of(self, run_id: uuid.UUID) -> float:
        """From the first claim to the end, by the database's clock."""
        row = self._connection.execute(
            "SELECT extract(epoch FROM finished_at - started_at)::float8 FROM run WHERE id = %s",
            (run_id,),
        ).fetchone()
        if row is None or row[0] is None:
            raise RuntimeError("the run has not ended")
        return float(row[0])

    def stamp_of(self, run_id: uuid.UUID) -> float:
        """When the body of the run's bench.stamp step began."""
        row = self._connection.execute(
            "SELECT jsonb_path_query_first(body, '$.outputs.value.at')::float8 FROM run_event"
            " WHERE run_id = %s AND type = 'step.completed'",
            (run_id,),
        ).fetchone()
        if row is None:
            raise RuntimeError("the step left no stamp")
        return float(row[0])


def _require(state: str, error: object) -> None:
    if state != "SUCCEEDED":
        raise RuntimeError(f"a run is {state}: {error}")
