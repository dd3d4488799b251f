"""The engine's seventh release: its SQL lies in `sql/release_7`, one file for each theme."""

from __future__ import annotations

from django.db import migrations, models

import apps.kit.clock
from apps.executions.sql import release, undo
from apps.tenancy.operations import IsolateTenant

_OWED = [
    migrations.CreateModel(
        name="OwedHandler",
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
            ("since", models.DateTimeField(default=apps.kit.clock.now)),
            ("tries", models.IntegerField(default=0)),
            ("due_at", models.DateTimeField()),
        ],
        options={"db_table": "handler_owed"},
    ),
]
_ITEMS = [
    migrations.AddField(
        "mapitem",
        "earlier",
        models.JSONField(help_text="Of earlier attempts: histories, or runs.", null=True),
    ),
]


class Migration(migrations.Migration):
    dependencies = [("executions", "0006_release_6")]

    operations = [
        migrations.RunSQL(release(7), undo(7), state_operations=[*_OWED, *_ITEMS]),
        IsolateTenant("OwedHandler", engine=True),
    ]
