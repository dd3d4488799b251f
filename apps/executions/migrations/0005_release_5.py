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
    migrations.AddField(
        "mapitem",
        "history",
        models.JSONField(help_text="What its steps did, where that may be undone.", null=True),
    ),
    migrations.AddField(
        "mapitem", "undone", models.BooleanField(default=False, help_text="It is undone.")
    ),
]

_ITEMS = [
    migrations.AddField("mapitem", "child", models.UUIDField(help_text="Its run.", null=True)),
    migrations.AddField(
        "mapitem", "chunk", models.IntegerField(help_text="What looks after its run.", null=True)
    ),
    migrations.AddField(
        "mapchunk", "news", models.IntegerField(default=0, help_text="Grows with what is new.")
    ),
    migrations.CreateModel(
        name="MapNews",
        fields=[
            ("id", models.BigAutoField(primary_key=True, serialize=False)),
            ("tenant_id", models.UUIDField()),
            ("run_id", models.UUIDField()),
            ("path", models.TextField()),
            ("chunk", models.IntegerField()),
        ],
        options={"db_table": "map_news"},
    ),
    migrations.AlterField(
        "run",
        "parent_kind",
        models.TextField(
            choices=[
                ("STEP", "a step waits for its end"),
                ("FALLBACK", "it stands in for a step that failed"),
                ("HANDLER", "it handles the failure"),
                ("ITEM", "it is an item of a map"),
            ],
            null=True,
        ),
    ),
]


class Migration(migrations.Migration):
    dependencies = [("executions", "0004_release_4")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(release(5), undo(5))],
            state_operations=[*_KEYS, *_MAPS, *_ITEMS],
        ),
        IsolateTenant("KeyWait", engine=True),
        IsolateTenant("MapNews", engine=True),
    ]
