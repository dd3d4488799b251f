"""Runs that start runs: workflows of a tenant, a worker that runs them, what passes between."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.executions import asks, relay, unanswered
from apps.executions.actions import start_run
from apps.executions.engine.ports import StepCall, StepDone, StepFailed, StepOutcome, StepWaits
from apps.executions.models import OutboxEntry, Run
from apps.executions.worker.documents import document_of
from apps.nodes.control.subworkflow import Parameters, subworkflow
from apps.nodes.testing import FakeContext
from apps.tenancy import scope
from apps.tenancy.models import EnvironmentKind
from apps.versions.actions import commit_version, deploy_version
from apps.versions.models import WorkflowVersion
from apps.workflows.actions import archive_workflow, create_workflow, save_draft
from apps.workflows.graph import catalogue
from apps.workflows.graph.callees import SUBWORKFLOW
from apps.workflows.graph.declaration import NodeError, Wait, WaitKind
from apps.workflows.models import Workflow
from tests.executions.world import ScriptedRunner, run_of, worker
from tests.factories.graphs import a, raw, to
from tests.factories.tenancy import Tenant

Script = Callable[[StepCall], StepOutcome | None]


def call(workflow_id: object, node_id: str = "sub", **fields: Any) -> dict[str, Any]:
    """A node that runs another workflow; `given` are its parameters."""
    given = {"workflow": str(workflow_id), **fields.pop("given", {})}
    return {"id": node_id, "type": SUBWORKFLOW, "configuration": given, **fields}


@dataclass
class Family:
    """One tenant's workflows and the runs of them."""

    tenant: Tenant
    script: Script = lambda call: None
    calls: list[tuple[uuid.UUID, str]] = field(default_factory=list)

    def draw(self, *nodes: dict[str, Any], links: Any = (), **configuration: Any) -> Workflow:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            document = raw(nodes, links, **configuration)
            return create_workflow(actor=self.tenant.owner, document=document)

    def child(self, **configuration: Any) -> Workflow:
        """`work` → `end`."""
        nodes = (a("work", "keyed"), a("end"))
        return self.draw(*nodes, links=[to("work", "end")], **configuration)

    def endless(self) -> Workflow:
        """It waits for a signal that never comes."""
        return self.draw(a("never"))

    def redraw(self, drawn: Workflow, *nodes: dict[str, Any]) -> None:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            save_draft(
                actor=self.tenant.owner,
                workflow_id=drawn.pk,
                expected_revision=Workflow.objects.get(pk=drawn.pk).draft_revision,
                document=raw(nodes),
            )

    def parent(self, child: Workflow, **fields: Any) -> Workflow:
        """`sub` runs the child; `after` comes behind."""
        links = [to("sub.result", "after")]
        return self.draw(call(child.pk, **fields), a("after"), links=links)

    def archive_all(self, *, but: Workflow) -> None:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            for one in Workflow.objects.exclude(pk=but.pk):
                archive_workflow(actor=self.tenant.owner, workflow_id=one.pk)

    def deploy(self, drawn: Workflow) -> WorkflowVersion:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            owner = self.tenant.owner
            version = commit_version(actor=owner, workflow_id=drawn.pk, message="Now.")
            place = EnvironmentKind.PRODUCTION
            deploy_version(actor=owner, version_id=version.pk, environment=place)
            return version

    def start(self, drawn: Workflow, **given: Any) -> uuid.UUID:
        with scope.tenant(self.tenant.id, actor=self.tenant.owner):
            run_id: uuid.UUID = start_run(actor=self.tenant.owner, workflow_id=drawn.pk, **given).pk
        return run_id

    def run(self, call: StepCall, *_: object) -> StepOutcome:
        """What the tests' runner answers."""
        self.calls.append((call.run_id, call.path))
        if call.given is not None:
            return call.given
        if call.node.type == SUBWORKFLOW:
            given = Parameters.read(call.node.configuration)
            try:
                context = FakeContext(work_directory=Path())
                return StepWaits(wait=subworkflow(given, call.inputs, context))
            except NodeError as error:
                return StepFailed(code=error.code, message=error.message)
        if call.path == "never":
            return StepWaits(wait=Wait(kind=WaitKind.SIGNAL, name="never"))
        said = self.script(call)
        return said or StepDone(outputs={"value": call.path})

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker of this process."""
        runner = ScriptedRunner(self.run)
        with worker(runner, documents=document_of, catalogue=catalogue.INSTALLED):
            yield

    def pass_on(self) -> None:
        """What the product's process does each second, until whatever has ended is announced.

        Once may be too early: the outbox waits for the oldest transaction of the server, and that
        may be a neighbor's.
        """

        def has_passed() -> bool:
            with scope.tenant(self.tenant.id):
                relay.relay_due()
                asks.ask_due()
                unanswered.look_after_debts()
                return not OutboxEntry.objects.exists()

        _soon(has_passed)

    def children(self, run_id: uuid.UUID) -> list[Run]:
        with scope.tenant(self.tenant.id):
            return list(Run.objects.children(run_id))

    def ended(self, run_id: uuid.UUID, *, seconds: float = 20) -> Run:
        """The run at its end, words passed on meanwhile."""
        return self.until(run_id, lambda run: run.finished_at is not None, seconds=seconds)

    def until_asked(self, run_id: uuid.UUID) -> None:
        """Until a step of the run waits, and nobody has been told."""
        _soon(lambda: run_of(self.tenant, run_id).state == "WAITING")

    def until_ended(self, run_id: uuid.UUID) -> None:
        """Until the run has ended, and nobody has been told."""
        _soon(lambda: run_of(self.tenant, run_id).finished_at is not None)

    def until(self, run_id: uuid.UUID, is_so: Callable[[Run], bool], *, seconds: float = 20) -> Run:
        until = time.monotonic() + seconds
        while True:
            self.pass_on()
            with scope.tenant(self.tenant.id):
                run: Run = Run.objects.get(pk=run_id)
            if is_so(run):
                return run
            assert time.monotonic() < until, f"{run} at {run.head}: {run.error}"
            time.sleep(0.02)


def _soon(is_so: Callable[[], bool], *, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)
