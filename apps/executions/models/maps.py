"""Maps: their chunks, and what became of each item; written by the engine's SQL functions."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models

from apps.tenancy.managers import TenantManager, UnscopedManager


class MapChunk(models.Model):
    """A slice of a map's items, from `low` to before `high`; `token` is its holder's."""

    pk = models.CompositePrimaryKey("tenant", "run_id", "path", "chunk")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    run_id = models.UUIDField()
    path = models.TextField()
    chunk = models.IntegerField()
    attempt = models.IntegerField(help_text="Of the map's step.")
    low = models.IntegerField()
    high = models.IntegerField()
    token = models.UUIDField(null=True)
    state = models.TextField(default="open", help_text="open, done or stopped")
    done = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    seen = models.IntegerField(default=0, help_text="Items with an outcome at the last take.")
    forgiven = models.IntegerField(default=0, help_text="Deaths before that.")
    spent = models.JSONField(default=dict, help_text="What it has used so far.")
    news = models.IntegerField(default=0, help_text="Grows with what is new.")
    hungry = models.BooleanField(default=False, help_text="It has items that wait for a place.")

    objects = TenantManager()
    unscoped = UnscopedManager()

    class Meta:
        db_table = "map_chunk"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.path}[{self.low}:{self.high}] {self.state}"


class MapItemQuerySet(models.QuerySet["MapItem"]):
    """Named questions about items."""

    def of_map(self, run_id: Any, path: str) -> Self:
        """The items of one map that are known, by index."""
        return self.filter(run_id=run_id, path=path).order_by("idx")

    def failed(self) -> Self:
        """Those that failed."""
        return self.filter(state="failed")

    def settled(self) -> Self:
        """Those that are done or failed."""
        return self.exclude(state="begun")


class MapItem(models.Model):
    """What became of one item: `output` of a done one, `error` of a failed one."""

    pk = models.CompositePrimaryKey("tenant", "run_id", "path", "idx")
    tenant = models.ForeignKey(
        "tenancy.Organization", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    run_id = models.UUIDField()
    path = models.TextField()
    idx = models.IntegerField()
    attempt = models.IntegerField(help_text="Of the map's step.")
    state = models.TextField(help_text="begun, done or failed")
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    child = models.UUIDField(null=True, help_text="Its run.")
    chunk = models.IntegerField(null=True, help_text="What looks after its run.")
    history = models.JSONField(null=True, help_text="What its steps did, where that may be undone.")
    undone = models.BooleanField(default=False, help_text="It is undone.")
    undoer = models.UUIDField(null=True, help_text="The run that undoes it.")
    earlier = models.JSONField(null=True, help_text="Of earlier attempts: histories, or runs.")

    objects: ClassVar[Any] = TenantManager.from_queryset(MapItemQuerySet)()
    unscoped: ClassVar[Any] = UnscopedManager.from_queryset(MapItemQuerySet)()

    class Meta:
        db_table = "map_item"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.path}[{self.idx}] {self.state}"


class MapNews(models.Model):
    """A chunk that looks after runs of items has something to look at."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    run_id = models.UUIDField()
    path = models.TextField()
    chunk = models.IntegerField()

    class Meta:
        db_table = "map_news"

    def __str__(self) -> str:
        return f"{self.run_id} {self.path} {self.chunk}"
