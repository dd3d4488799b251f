"""Approvals may name who decides them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("versions", "0001_initial")]

    operations = [
        migrations.AddField(
            "approval",
            "audience",
            models.JSONField(
                db_default={},
                default=dict,
                help_text='Who may decide, of those who may at all: {"users": [ids], "roles": [names]}.',
            ),
        ),
    ]
