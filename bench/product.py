"""The product on a database of the bench's own: a tenant, a workflow, a worker, and runs of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
import psycopg
from psycopg import sql

from config.supervisor import roles

SETTLE_SECONDS = 60.0


def new_database(owner_url: str) -> dict[str, str]:
    """An empty database with its three logins; returns the variables that name them."""
    name = f"bench_{os.getpid()}"
    with roles.connect(owner_url) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    urls = {
        variable: os.environ[variable].rpartition("/")[0] + f"/{name}"
        for variable in ("DATABASE_URL", "DATABASE_APP_URL", "DATABASE_ENGINE_URL")
    }
    logins = tuple(
        roles.user_of(urls[variable]) for variable in ("DATABASE_APP_URL", "DATABASE_ENGINE_URL")
    )
    with roles.connect(urls["DATABASE_URL"]) as owner:
        roles.grant(owner, to=logins)
    return urls


def migrate(environment: dict[str, str]) -> None:
    """As the owner, in a process of its own."""
    command = [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"]
    owner = {**environment, "NSTARX_DATABASE_ROLE": "owner"}
    subprocess.run(command, env=owner, check=True)


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    """One worker process, as the supervisor would start it."""
    command = [sys.executable, "-m", "dramatiq", "bench.worker", "--processes", "1"]
    started = {
        **environment,
        "NSTARX_DATABASE_ROLE": "engine",
        "NSTARX_WORKER_ID": str(uuid.uuid4()),
    }
    with subprocess.Popen(
        [*command, "--threads", "2", "--queues", "io"],
        env=started,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            yield
        finally:
            child.terminate()
            child.wait(20)


class Product:
    """Starts runs through the product's own action, as the web's role."""

    def __init__(self) -> None:
        django.setup()
        from apps.tenancy import scope
        from apps.tenancy.actions import create_organization
        from apps.tenancy.actors import Actor
        from apps.tenancy.models import User
        from bench import nodes

        nodes.register()
        founder = User.objects.create_user("bench@example.com", uuid.uuid4().hex)
        organization = create_organization(
            founder=founder, slug="bench", name="Bench", plan_key="business"
        )
        self.tenant_id: uuid.UUID = organization.pk
        self.actor = Actor.system(self.tenant_id, "bench")
        self._scope = scope

    def deploy(self, document: dict[str, Any]) -> uuid.UUID:
        """A workflow whose first version stands in production; returns its id."""
        from apps.tenancy.models import EnvironmentKind
        from apps.versions.actions import commit_version, deploy_version
        from apps.workflows.actions import create_workflow

        with self._scope.tenant(self.tenant_id, actor=self.actor):
            workflow = create_workflow(actor=self.actor, document=document)
            version = commit_version(actor=self.actor, workflow_id=workflow.pk, message="Bench")
            deploy_version(
                actor=self.actor, version_id=version.pk, environment=EnvironmentKind.PRODUCTION
            )
            return workflow.pk

    def run(self, workflow_id: uuid.UUID, watch: psycopg.Connection[Any]) -> tuple[float, float]:
        """Start one and wait; seconds from queued to done, and what the starting call took."""
        from apps.executions.actions import start_run
        from apps.executions.models import TriggerKind
        from apps.tenancy.models import EnvironmentKind
        from apps.tenancy.scope import Scope, enter

        began = time.perf_counter()
        with enter(Scope(tenant_id=self.tenant_id, actor=self.actor)):
            run = start_run(
                actor=self.actor,
                workflow_id=workflow_id,
                environment=EnvironmentKind.PRODUCTION,
                trigger=TriggerKind.API,
            )
        called = time.perf_counter() - began
        return self._wait(run.pk, watch), called

    def _wait(self, run_id: uuid.UUID, watch: psycopg.Connection[Any]) -> float:
        until = time.monotonic() + SETTLE_SECONDS
        query = (
            "SELECT state, extract(epoch FROM finished_at - created_at)::float8"
            " FROM run WHERE id = %s"
        )
        while time.monotonic() < until:
            with watch.transaction():
                watch.execute("SELECT set_config('app.tenant', %s, true)", (str(self.tenant_id),))
                row = watch.execute(query, (run_id,), prepare=True).fetchone()
            if row is not None and row[1] is not None:
                if row[0] != "SUCCEEDED":
                    raise RuntimeError(f"the run is {row[0]}")
                return float(row[1])
            time.sleep(0.02)
        raise TimeoutError("the run did not end: is the worker alive?")
