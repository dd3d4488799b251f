"""Tasks: dispatched steps as leased items of their own."""

from __future__ import annotations

from django.db import migrations, models

from apps.executions.sql import UNDO_2, sql


class Migration(migrations.Migration):
    dependencies = [("executions", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(sql("tables_2") + sql("functions_2"), UNDO_2)],
            state_operations=[
                migrations.AddField(
                    "workitem",
                    "attempt",
                    models.IntegerField(default=0, help_text="Of the step, for a task."),
                ),
                migrations.AddField(
                    "workitem",
                    "has_begun",
                    models.BooleanField(
                        default=False, help_text="A task's effect may have happened."
                    ),
                ),
            ],
        ),
    ]
