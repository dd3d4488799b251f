"""The engine's fourth release: its SQL lies in `sql/release_4`, one file for each theme."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

import apps.kit.clock
import apps.kit.ids
import apps.tenancy.scope
from apps.executions.sql import release, undo
from apps.tenancy.operations import IsolateTenant

_QUARANTINE = [
    migrations.AddField(
        "workitem",
        "home",
        models.TextField(default="", help_text="Its pool, while it is in quarantine."),
    ),
]

_MAPS = [
    migrations.AddField(
        "mapchunk",
        "seen",
        models.IntegerField(default=0, help_text="Items with an outcome at the last take."),
    ),
    migrations.AddField(
        "mapchunk", "forgiven", models.IntegerField(default=0, help_text="Deaths before that.")
    ),
]
_CHILDREN = [
    migrations.AddField(
        "run", "parent_id", models.UUIDField(help_text="The run that started it.", null=True)
    ),
    migrations.AddField(
        "run",
        "parent_kind",
        models.TextField(
            choices=[
                ("STEP", "a step waits for its end"),
                ("FALLBACK", "it stands in for a step that failed"),
                ("HANDLER", "it handles the failure"),
            ],
            null=True,
        ),
    ),
    migrations.AddField("run", "parent_path", models.TextField(null=True)),
    migrations.AddField("run", "parent_attempt", models.IntegerField(null=True)),
    migrations.AddField(
        "run",
        "depth",
        models.SmallIntegerField(default=0, help_text="How many runs are above it."),
    ),
    migrations.CreateModel(
        name="OpenChild",
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    "tenant_id",
                    "run_id",
                    blank=True,
                    editable=False,
                    primary_key=True,
                    serialize=False,
                ),
            ),
            ("tenant_id", models.UUIDField()),
            ("run_id", models.UUIDField()),
            ("tries", models.IntegerField(default=0)),
            ("due_at", models.DateTimeField()),
        ],
        options={"db_table": "open_child"},
    ),
    migrations.CreateModel(
        name="RunDefaults",
        fields=[
            (
                "tenant",
                models.OneToOneField(
                    db_constraint=False,
                    on_delete=django.db.models.deletion.DO_NOTHING,
                    primary_key=True,
                    related_name="+",
                    serialize=False,
                    to="tenancy.organization",
                ),
            ),
            (
                "error_handler_id",
                models.UUIDField(help_text="The workflow that failures start.", null=True),
            ),
        ],
        options={"db_table": "run_defaults", "base_manager_name": "objects"},
    ),
    migrations.AddField(
        "ask",
        "child_at",
        models.DateTimeField(help_text="Instead, where a child is asked for.", null=True),
    ),
]
_STEP_CACHE = migrations.CreateModel(
    name="CachedResult",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "tenant",
                "digest",
                blank=True,
                editable=False,
                primary_key=True,
                serialize=False,
            ),
        ),
        ("digest", models.BinaryField()),
        ("node_type", models.TextField()),
        ("outputs", models.JSONField()),
        ("created_at", models.DateTimeField()),
        ("expires_at", models.DateTimeField()),
        (
            "tenant",
            models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="tenancy.organization",
            ),
        ),
    ],
    options={"db_table": "step_cache", "base_manager_name": "objects"},
)
_PINS = migrations.CreateModel(
    name="Pin",
    fields=[
        (
            "pk",
            models.CompositePrimaryKey(
                "tenant",
                "workflow_id",
                "node_id",
                blank=True,
                editable=False,
                primary_key=True,
                serialize=False,
            ),
        ),
        ("workflow_id", models.UUIDField()),
        ("node_id", models.TextField()),
        ("outputs", models.JSONField()),
        ("pinned_at", models.DateTimeField(default=apps.kit.clock.now)),
        (
            "tenant",
            models.ForeignKey(
                db_constraint=False,
                default=apps.tenancy.scope.current_tenant_id,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="tenancy.organization",
            ),
        ),
    ],
    options={"db_table": "pinned_output", "base_manager_name": "objects"},
)

_QUESTION = migrations.CreateModel(
    name="Question",
    fields=[
        (
            "id",
            models.UUIDField(
                default=apps.kit.ids.uuid7, editable=False, primary_key=True, serialize=False
            ),
        ),
        ("run_id", models.UUIDField()),
        ("workflow_id", models.UUIDField()),
        ("path", models.TextField()),
        ("attempt", models.IntegerField()),
        (
            "kind",
            models.TextField(
                choices=[("DOUBT", "Effect in doubt"), ("ESCALATION", "Escalated failure")]
            ),
        ),
        ("code", models.TextField()),
        ("message", models.TextField()),
        ("due_at", models.DateTimeField(null=True)),
        ("created_at", models.DateTimeField(default=apps.kit.clock.now)),
        (
            "tenant",
            models.ForeignKey(
                default=apps.tenancy.scope.current_tenant_id,
                editable=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="tenancy.organization",
            ),
        ),
    ],
    options={
        "db_table": "question",
        "abstract": False,
        "base_manager_name": "objects",
        "constraints": [
            models.UniqueConstraint(fields=("tenant", "id"), name="question_tenant_id_key"),
            models.UniqueConstraint(
                fields=("tenant", "run_id", "path"), name="question_of_step_key"
            ),
        ],
    },
)


class Migration(migrations.Migration):
    dependencies = [("executions", "0003_release_3")]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=_MAPS),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(release(4), undo(4))],
            state_operations=[*_QUARANTINE, *_CHILDREN, _STEP_CACHE, _PINS],
        ),
        IsolateTenant("OpenChild", engine=True),
        IsolateTenant("CachedResult"),
        IsolateTenant("Pin"),
        _QUESTION,
        IsolateTenant("Question"),
        IsolateTenant("RunDefaults"),
    ]
