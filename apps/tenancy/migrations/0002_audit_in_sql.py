"""A row of the audit trail from within a statement that does more: starting a run."""

from __future__ import annotations

from django.db import migrations

# What the trail's model writes; a change gets a new name (`tenancy_audit_2`).
AUDIT = """
CREATE FUNCTION tenancy_audit_1(p_tenant uuid, p_row jsonb) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO tenancy_auditrow (id, tenant_id, at, actor, user_id, api_key_id, ip, action, target,
      before, after)
    SELECT r.id, p_tenant, clock_timestamp(), r.actor, r.user_id, r.api_key_id, r.ip, r.action,
           r.target, r.before, r.after
      FROM jsonb_to_record(p_row) AS r(id uuid, actor text, user_id uuid, api_key_id uuid, ip inet,
        action text, target text, before jsonb, after jsonb)
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0001_initial")]

    operations = [migrations.RunSQL(AUDIT, "DROP FUNCTION tenancy_audit_1(uuid, jsonb)")]
