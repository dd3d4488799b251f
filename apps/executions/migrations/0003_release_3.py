"""The engine's third release: its SQL lies in `sql/release_3`, one file for each theme."""

from __future__ import annotations

from django.db import migrations

from apps.executions.sql import release, undo


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_tasks")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(release(3), undo(3))],
            state_operations=[],
        ),
    ]
