"""An entry of the ledger is written at the end of every run: without the indexes nobody needs."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

import apps.tenancy.scope

# What keys begin with the tenant serves for the tenant alone, the time for the month. By name: to alter
# the fields would check the foreign keys of the whole table again.
DROP = """
DROP INDEX billing_usageentry_tenant_id_46d6e793, billing_usageentry_environment_id_e9bb2b67,
  usage_entry_period_idx;
"""
AGAIN = """
CREATE INDEX billing_usageentry_tenant_id_46d6e793 ON billing_usageentry (tenant_id);
CREATE INDEX billing_usageentry_environment_id_e9bb2b67 ON billing_usageentry (environment_id);
CREATE INDEX usage_entry_period_idx ON billing_usageentry (tenant_id, period);
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(
            DROP,
            AGAIN,
            state_operations=[
                migrations.RemoveIndex("usageentry", "usage_entry_period_idx"),
                migrations.AlterField(
                    "usageentry",
                    "environment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenancy.environment",
                    ),
                ),
                migrations.AlterField(
                    "usageentry",
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        default=apps.tenancy.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenancy.organization",
                    ),
                ),
            ],
        )
    ]
