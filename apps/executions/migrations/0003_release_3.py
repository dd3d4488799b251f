"""The engine's third release: its SQL lies in `sql/release_3`, one file for each theme."""

from __future__ import annotations

from django.db import migrations, models

import apps.kit.clock
from apps.executions.sql import release, undo
from apps.tenancy.operations import IsolateTenant


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_tasks")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(release(3), undo(3))],
            state_operations=[
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
            ],
        ),
        IsolateTenant("Ask", engine=True),
    ]
