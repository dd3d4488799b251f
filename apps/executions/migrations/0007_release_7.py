"""The engine's seventh release: its SQL lies in `sql/release_7`, one file for each theme."""

from __future__ import annotations

from django.db import migrations

from apps.executions.sql import release, undo


class Migration(migrations.Migration):
    dependencies = [("executions", "0006_release_6")]

    operations = [migrations.RunSQL(release(7), undo(7))]
