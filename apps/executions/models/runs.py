"""Runs, their history and their logs: read here, written by the engine's SQL functions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any, ClassVar, Final, Self

from django.db import models

from apps.executions.engine.state import RunStatus
from apps.kit.clock import now
from apps.tenancy.managers import TenantManager, UnscopedManager
from apps.tenancy.models import TenantModel, tenant_constraints


class TriggerKind(models.TextChoices):
    """What started a run; the API's names."""

    MANUAL = "MANUAL"
    SCHEDULE = "SCHEDULE"
    EVENT = "EVENT"
    API = "API"
    WEBHOOK = "WEBHOOK"
    CONDITION = "CONDITION"
    MCP = "MCP"


class ParentKind(models.TextChoices):
    """What a run is to the one that started it."""

    STEP = "STEP", "a step waits for its end"
    FALLBACK = "FALLBACK", "it stands in for a step that failed"
    HANDLER = "HANDLER", "it handles the failure"
    ITEM = "ITEM", "it is an item of a map"


AWAITED = (ParentKind.STEP, ParentKind.FALLBACK)
"""Children whose end a step waits for."""


class EnvironmentName(models.TextChoices):
    """The kind of environment a run belongs to; the API's names."""

    DEVELOPMENT = "DEVELOPMENT"
    STAGING = "STAGING"
    PRODUCTION = "PRODUCTION"


_WITH_ERROR: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})


class RunQuerySet(models.QuerySet["Run"]):
    """Named questions about runs. Ids are UUIDv7: the newest run has the greatest id."""

    def of_workflow(self, workflow_id: uuid.UUID) -> Self:
        """Runs of one workflow, newest first."""
        return self.whole().filter(workflow_id=workflow_id).order_by("-id")

    def whole(self) -> Self:
        """Without items of maps, each of which is a part of a run."""
        return self.exclude(parent_kind=ParentKind.ITEM)

    def newest(self) -> Self:
        """Newest first."""
        return self.order_by("-id")

    def open(self) -> Self:
        """Runs that have not ended."""
        return self.filter(finished_at__isnull=True)

    def in_state(self, states: Collection[RunStatus]) -> Self:
        """Runs in one of these states."""
        found = self.filter(state__in=[state.value for state in states])
        # Those with an error, and open ones, have indexes: others are not walked through.
        if _WITH_ERROR.issuperset(states):
            return found.filter(error__isnull=False)
        return found if any(state.is_terminal for state in states) else found.open()

    def children(self, run_id: uuid.UUID) -> Self:
        """Runs that this one has started, in that order."""
        return self.filter(parent_id=run_id).order_by("id")

    def summary(self) -> Self:
        """Without the wide columns, for lists."""
        return self.defer("parameters", "variables", "result")


class Run(TenantModel):
    """One execution of one version. Columns are facts of the latest append; `head` is its seq.

    `workflow_id`, `version_id`, `environment_id` point at rows of the apps below without a foreign
    key (engine tables have none). `state` holds a RunStatus; `error` is {code, message, nodeId,
    attempt}; `result` is outputs by node id and port, of the nodes nothing follows.
    """

    workflow_id = models.UUIDField()
    version_id = models.UUIDField()
    version = models.TextField(default="", help_text="The version's number; empty for a draft.")
    environment_id = models.UUIDField()
    environment = models.TextField(choices=EnvironmentName)
    state = models.TextField(
        choices=[(s.value, s.value) for s in RunStatus], default=RunStatus.QUEUED
    )
    head = models.IntegerField(default=1)
    settled = models.IntegerField(default=0)
    fence = models.UUIDField(null=True)
    signals = models.IntegerField(default=0)
    lineage_id = models.UUIDField(help_text="The first run of a chain of retries and forks.")
    retried_from_id = models.UUIDField(null=True)
    parent_id = models.UUIDField(null=True, help_text="The run that started it.")
    parent_kind = models.TextField(null=True, choices=ParentKind)  # noqa: DJ001 - most have none
    parent_path = models.TextField(null=True)  # noqa: DJ001 - only a step's child has one
    parent_attempt = models.IntegerField(null=True)
    depth = models.SmallIntegerField(default=0, help_text="How many runs are above it.")
    installation_id = models.UUIDField(null=True)
    trigger = models.TextField(choices=TriggerKind)
    started_by_id = models.UUIDField(null=True)
    priority = models.SmallIntegerField(default=5)
    pool = models.TextField(default="io")
    slots = models.SmallIntegerField(default=1)
    created_at = models.DateTimeField(default=now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    gated = models.BooleanField(default=False, help_text="Its workflow bounds its runs.")
    held_key = models.DateTimeField(null=True, help_text="Set while it may not begin yet.")
    abi = models.SmallIntegerField(default=2, help_text="The newest release that touched it.")
    due_at = models.DateTimeField(null=True, help_text="When to begin, to be on time.")
    parameters = models.JSONField(default=dict)
    variables = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    error = models.JSONField(null=True)
    attempts = models.IntegerField(default=0)
    cpu_seconds = models.FloatField(default=0)
    peak_memory_bytes = models.BigIntegerField(default=0)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    cost_minor = models.BigIntegerField(default=0)

    objects: ClassVar[Any] = TenantManager.from_queryset(RunQuerySet)()
    unscoped: ClassVar[Any] = UnscopedManager.from_queryset(RunQuerySet)()

    class Meta(TenantModel.Meta):
        db_table = "run"
        constraints: ClassVar[list[Any]] = [*tenant_constraints("run")]

    def __str__(self) -> str:
        return f"run {self.pk} {self.state}"

    @property
    def status(self) -> RunStatus:
        """The state as the engine's enum."""
        return RunStatus(self.state)

    @property
    def duration(self) -> dt.timedelta | None:
        """From the first claim to the end; None while the run is open or never started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class RunEventQuerySet(models.QuerySet["RunEvent"]):
    """Named questions about histories."""

    def settling(self, runs: Collection[uuid.UUID]) -> Self:
        """By run, in order: outcomes a new run can take over, of the document's top level."""
        kinds = ("step.completed", "step.reused", "step.skipped")
        rows = self.filter(run_id__in=runs, type__in=kinds).exclude(path__contains="[")
        return rows.defer("body").order_by("run_id", "seq")


class RunEvent(models.Model):
    """One event of a run's history; `seq` is 1, 2, 3 … without a gap, in the order of commits."""

    pk = models.CompositePrimaryKey("tenant", "run_id", "seq")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    run_id = models.UUIDField()
    seq = models.IntegerField()
    type = models.TextField()
    path = models.TextField(null=True)  # noqa: DJ001 - events of the run itself have no path
    attempt = models.IntegerField(null=True)
    body = models.JSONField(null=True)
    at = models.DateTimeField(default=now)

    objects: ClassVar[Any] = TenantManager.from_queryset(RunEventQuerySet)()
    unscoped: ClassVar[Any] = UnscopedManager.from_queryset(RunEventQuerySet)()

    class Meta:
        db_table = "run_event"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.seq} {self.type} {self.path or ''}".strip()


class LogLine(models.Model):
    """One line, metric or progress note of a step; `id` grows in the order of writing."""

    pk = models.CompositePrimaryKey("tenant", "run_id", "id")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    run_id = models.UUIDField()
    id = models.BigIntegerField()
    path = models.TextField()
    attempt = models.IntegerField()
    kind = models.TextField(help_text="log, metric or progress")
    level = models.TextField()
    message = models.TextField()
    fields = models.JSONField(null=True)
    at = models.DateTimeField()

    objects = TenantManager()
    unscoped = UnscopedManager()

    class Meta:
        db_table = "run_log"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class NodeState(models.Model):
    """What TRANSACTIONAL nodes keep for their workflow."""

    pk = models.CompositePrimaryKey("tenant", "workflow_id", "key")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    workflow_id = models.UUIDField()
    key = models.TextField()
    value = models.JSONField()
    changed_at = models.DateTimeField(default=now)

    objects = TenantManager()
    unscoped = UnscopedManager()

    class Meta:
        db_table = "node_state"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.key
