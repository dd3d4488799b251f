"""The engine's third release: its SQL lies in `sql/release_3`, one file for each theme."""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import apps.kit.clock
from apps.executions.sql import release, undo
from apps.tenancy.operations import IsolateTenant

_SCHEDULING = [
    migrations.CreateModel(
        name="KeyHolder",
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    "tenant_id",
                    "gate",
                    "run_id",
                    "path",
                    blank=True,
                    editable=False,
                    primary_key=True,
                    serialize=False,
                ),
            ),
            ("tenant_id", models.UUIDField()),
            ("gate", models.UUIDField(help_text="A digest of workflow, node and key.")),
            ("run_id", models.UUIDField()),
            ("path", models.TextField()),
            ("since", models.DateTimeField(default=apps.kit.clock.now)),
        ],
        options={"db_table": "key_holder"},
    ),
    migrations.CreateModel(
        name="WorkflowGate",
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    "tenant_id",
                    "workflow_id",
                    blank=True,
                    editable=False,
                    primary_key=True,
                    serialize=False,
                ),
            ),
            ("tenant_id", models.UUIDField()),
            ("workflow_id", models.UUIDField()),
            ("max_runs", models.IntegerField(null=True)),
            ("per_minute", models.FloatField(null=True)),
            ("burst", models.IntegerField(default=1)),
            ("tat", models.DateTimeField()),
            ("waiting", models.BooleanField(default=False)),
            ("looked_at", models.DateTimeField()),
        ],
        options={"db_table": "workflow_gate"},
    ),
    migrations.AddField("lane", "burst", models.IntegerField(default=1)),
    migrations.AddField(
        "lane",
        "rate_per_s",
        models.FloatField(help_text="An operator's brake: claims per second.", null=True),
    ),
    migrations.AddField(
        "lane",
        "tat",
        models.DateTimeField(help_text="When the bucket would be full again (GCRA)."),
    ),
    migrations.AddField(
        "run",
        "due_at",
        models.DateTimeField(help_text="When to begin, to be on time.", null=True),
    ),
    migrations.AddField(
        "run",
        "abi",
        models.SmallIntegerField(default=2, help_text="The newest release that touched it."),
    ),
    migrations.AddField(
        "run",
        "gated",
        models.BooleanField(default=False, help_text="Its workflow bounds its runs."),
    ),
    migrations.AddField(
        "run",
        "held_key",
        models.DateTimeField(help_text="Set while it may not begin yet.", null=True),
    ),
    migrations.AddField(
        "worker",
        "abi",
        models.IntegerField(default=2, help_text="The release of SQL functions it calls."),
    ),
    migrations.AddField(
        "worker",
        "labels",
        django.contrib.postgres.fields.ArrayField(
            base_field=models.TextField(), default=list, size=None
        ),
    ),
]


def _key(*columns: str) -> tuple[str, models.CompositePrimaryKey]:
    key = models.CompositePrimaryKey(
        *columns, blank=True, editable=False, primary_key=True, serialize=False
    )
    return "pk", key


def _tenant() -> tuple[str, models.ForeignKey[object, object]]:
    points = models.ForeignKey(
        db_constraint=False,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to="tenancy.organization",
    )
    return "tenant", points


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_tasks")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(release(3), undo(3))],
            state_operations=[
                *_SCHEDULING,
                migrations.CreateModel(
                    name="Ask",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id",
                                "run_id",
                                "seq",
                                blank=True,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("tenant_id", models.UUIDField()),
                        ("run_id", models.UUIDField()),
                        ("seq", models.IntegerField()),
                        ("kind", models.TextField()),
                        ("at", models.DateTimeField(default=apps.kit.clock.now)),
                        ("tries", models.IntegerField(default=0)),
                        ("due_at", models.DateTimeField()),
                    ],
                    options={"db_table": "ask"},
                ),
                migrations.AddField("run", "signals", models.IntegerField(default=0)),
                migrations.CreateModel(
                    name="MapChunk",
                    fields=[
                        _key("tenant", "run_id", "path", "chunk"),
                        ("run_id", models.UUIDField()),
                        ("path", models.TextField()),
                        ("chunk", models.IntegerField()),
                        ("attempt", models.IntegerField(help_text="Of the map's step.")),
                        ("low", models.IntegerField()),
                        ("high", models.IntegerField()),
                        ("token", models.UUIDField(null=True)),
                        (
                            "state",
                            models.TextField(default="open", help_text="open, done or stopped"),
                        ),
                        ("done", models.IntegerField(default=0)),
                        ("failed", models.IntegerField(default=0)),
                        _tenant(),
                    ],
                    options={"db_table": "map_chunk", "base_manager_name": "objects"},
                ),
                migrations.CreateModel(
                    name="MapItem",
                    fields=[
                        _key("tenant", "run_id", "path", "idx"),
                        ("run_id", models.UUIDField()),
                        ("path", models.TextField()),
                        ("idx", models.IntegerField()),
                        ("attempt", models.IntegerField(help_text="Of the map's step.")),
                        ("state", models.TextField(help_text="begun, done or failed")),
                        ("output", models.JSONField(null=True)),
                        ("error", models.JSONField(null=True)),
                        _tenant(),
                    ],
                    options={"db_table": "map_item", "base_manager_name": "objects"},
                ),
            ],
        ),
        *(IsolateTenant(model, engine=True) for model in ("Ask", "WorkflowGate", "KeyHolder")),
    ]
