"""The engine's fifth release: its SQL lies in `sql/release_5`, one file for each theme."""

from __future__ import annotations

from django.db import migrations, models

import apps.kit.clock
from apps.executions.sql import release, undo
from apps.tenancy.operations import IsolateTenant

_KEYS = [
    migrations.AddField(
        "keyholder",
        "item_id",
        models.BigIntegerField(help_text="The chunk that the step's item is in.", null=True),
    ),
    migrations.CreateModel(
        name="KeyWait",
        fields=[
            (
                "pk",
                models.CompositePrimaryKey(
                    "tenant_id",
                    "run_id",
                    "path",
                    blank=True,
                    editable=False,
                    primary_key=True,
                    serialize=False,
                ),
            ),
            ("tenant_id", models.UUIDField()),
            ("run_id", models.UUIDField()),
            ("path", models.TextField()),
            ("most", models.IntegerField(help_text="Places behind the gate.")),
            ("at", models.DateTimeField(default=apps.kit.clock.now)),
        ],
        options={"db_table": "key_wait"},
    ),
]

_MAPS = [
    migrations.AddField(
        "mapchunk",
        "spent",
        models.JSONField(default=dict, help_text="What it has used so far."),
    ),
]


class Migration(migrations.Migration):
    dependencies = [("executions", "0004_release_4")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(release(5), undo(5))],
            state_operations=[*_KEYS, *_MAPS],
        ),
        IsolateTenant("KeyWait", engine=True),
    ]
