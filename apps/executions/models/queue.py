"""The engine's own tables: leased and waiting work, timers, lanes, workers. Ids only."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.kit.clock import now
from apps.tenancy.managers import TenantManager, UnscopedManager


class InboxMessage(models.Model):
    """What somebody told a run; read and removed by its owner."""

    pk = models.CompositePrimaryKey("tenant", "run_id", "id")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    run_id = models.UUIDField()
    id = models.UUIDField()
    kind = models.TextField()
    body = models.JSONField(null=True)
    at = models.DateTimeField(default=now)

    objects = TenantManager()
    unscoped = UnscopedManager()

    class Meta:
        db_table = "run_inbox"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.kind


class WorkItem(models.Model):
    """Work that can be claimed or is leased; nothing else has a row here."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    kind = models.TextField(default="run")
    path = models.TextField(default="")
    idx = models.IntegerField(default=0)
    pool = models.TextField()
    sort_key = models.DateTimeField(default=now)
    slots = models.SmallIntegerField(default=1)
    granted = models.SmallIntegerField(default=0)
    worker_id = models.UUIDField(null=True)
    token = models.UUIDField(null=True)
    claims = models.IntegerField(default=0)
    crashes = models.IntegerField(default=0)
    settled_seen = models.IntegerField(default=0)
    has_mail = models.BooleanField(default=False)
    attempt = models.IntegerField(default=0, help_text="Of the step, for a task.")
    has_begun = models.BooleanField(default=False, help_text="A task's effect may have happened.")
    home = models.TextField(default="", help_text="Its pool, while it is in quarantine.")

    class Meta:
        db_table = "work_item"

    def __str__(self) -> str:
        return f"{self.kind} {self.run_id}"


class Timer(models.Model):
    """An instant at which a run becomes ready."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    kind = models.TextField()
    path = models.TextField(default="")
    idx = models.IntegerField(default=0)
    pool = models.TextField()
    slots = models.SmallIntegerField(default=1)
    fire_at = models.DateTimeField()

    class Meta:
        db_table = "timer"

    def __str__(self) -> str:
        return f"{self.kind} {self.fire_at}"


class Lane(models.Model):
    """A tenant's queue in one pool: its weight, its ceiling, its virtual time."""

    pk = models.CompositePrimaryKey("tenant_id", "pool")
    tenant_id = models.UUIDField()
    pool = models.TextField()
    weight = models.FloatField(default=1)
    max_inflight = models.IntegerField(default=50, help_text="Slots leased at once.")
    max_runs = models.IntegerField(default=50, help_text="Runs leased at once.")
    vtime = models.FloatField(default=0)
    has_ready = models.BooleanField(default=False)
    blocked_until = models.DateTimeField(null=True)
    rate_per_s = models.FloatField(null=True, help_text="An operator's brake: claims per second.")
    burst = models.IntegerField(default=1)
    tat = models.DateTimeField(help_text="When the bucket would be full again (GCRA).")

    class Meta:
        db_table = "lane"

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.pool}"


class WorkflowGate(models.Model):
    """How many runs of a workflow may be in progress, and how often one may begin."""

    pk = models.CompositePrimaryKey("tenant_id", "workflow_id")
    tenant_id = models.UUIDField()
    workflow_id = models.UUIDField()
    max_runs = models.IntegerField(null=True)
    per_minute = models.FloatField(null=True)
    burst = models.IntegerField(default=1)
    tat = models.DateTimeField()
    waiting = models.BooleanField(default=False)
    looked_at = models.DateTimeField()

    class Meta:
        db_table = "workflow_gate"

    def __str__(self) -> str:
        return f"gate of {self.workflow_id}"


class KeyHolder(models.Model):
    """A step behind a key's gate; void when its run has no item."""

    pk = models.CompositePrimaryKey("tenant_id", "gate", "run_id", "path")
    tenant_id = models.UUIDField()
    gate = models.UUIDField(help_text="A digest of workflow, node and key.")
    run_id = models.UUIDField()
    path = models.TextField()
    since = models.DateTimeField(default=now)
    item_id = models.BigIntegerField(null=True, help_text="The chunk that the step's item is in.")

    class Meta:
        db_table = "key_holder"

    def __str__(self) -> str:
        return f"{self.run_id} {self.path}"


class KeyWait(models.Model):
    """A step that found no place behind a key's gate, the last time it looked."""

    pk = models.CompositePrimaryKey("tenant_id", "run_id", "path")
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    path = models.TextField()
    most = models.IntegerField(help_text="Places behind the gate.")
    at = models.DateTimeField(default=now)

    class Meta:
        db_table = "key_wait"

    def __str__(self) -> str:
        return f"{self.run_id} {self.path}"


class Worker(models.Model):
    """One incarnation of one worker process, and how long it may be trusted."""

    id = models.UUIDField(primary_key=True)
    host = models.TextField()
    pid = models.IntegerField()
    pools = ArrayField(models.TextField())
    slots = models.IntegerField()
    booted_at = models.DateTimeField(default=now)
    lease_until = models.DateTimeField()
    draining = models.BooleanField(default=False)
    labels = ArrayField(models.TextField(), default=list)
    abi = models.IntegerField(default=2, help_text="The release of SQL functions it calls.")

    class Meta:
        db_table = "worker"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Ask(models.Model):
    """A wait that the rest of the product has not been told of yet."""

    pk = models.CompositePrimaryKey("tenant_id", "run_id", "seq")
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    seq = models.IntegerField()
    kind = models.TextField()
    at = models.DateTimeField(default=now)
    tries = models.IntegerField(default=0)
    due_at = models.DateTimeField()
    child_at = models.DateTimeField(null=True, help_text="Instead, where a child is asked for.")

    class Meta:
        db_table = "ask"

    def __str__(self) -> str:
        return f"{self.kind} {self.run_id}"


class OpenChild(models.Model):
    """A run whose end a step of another waits for, until that step has been answered."""

    pk = models.CompositePrimaryKey("tenant_id", "run_id")
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    tries = models.IntegerField(default=0)
    due_at = models.DateTimeField()

    class Meta:
        db_table = "open_child"

    def __str__(self) -> str:
        return str(self.run_id)


class OwedHandler(models.Model):
    """A run that failed, whose error handler found no room to start and is tried again."""

    pk = models.CompositePrimaryKey("tenant_id", "run_id")
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    since = models.DateTimeField(default=now)
    tries = models.IntegerField(default=0)
    due_at = models.DateTimeField()

    class Meta:
        db_table = "handler_owed"

    def __str__(self) -> str:
        return str(self.run_id)


class OutboxEntry(models.Model):
    """A run-level fact that the relay has not announced yet."""

    pk = models.CompositePrimaryKey("xid", "id")
    xid = models.TextField()
    id = models.BigIntegerField()
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    kind = models.TextField()
    at = models.DateTimeField(default=now)
    tries = models.IntegerField(default=0)
    due_at = models.DateTimeField()

    class Meta:
        db_table = "outbox"

    def __str__(self) -> str:
        return f"{self.kind} {self.run_id}"
