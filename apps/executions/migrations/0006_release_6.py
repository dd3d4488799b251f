"""The engine's sixth release: its SQL lies in `sql/release_6`, one file for each theme."""

from __future__ import annotations

from django.db import migrations, models

from apps.executions.sql import release, undo

_ITEMS = [
    migrations.AddField(
        "mapchunk",
        "hungry",
        models.BooleanField(default=False, help_text="It has items that wait for a place."),
    ),
    migrations.AddField(
        "mapitem", "undoer", models.UUIDField(help_text="The run that undoes it.", null=True)
    ),
]


class Migration(migrations.Migration):
    dependencies = [("executions", "0005_release_5")]

    operations = [migrations.RunSQL(release(6), undo(6), state_operations=[*_ITEMS])]
