"""An API key with the member behind it, in one statement: programs send it with every call."""

from __future__ import annotations

from django.db import migrations

# Reads only; whether the key is believed is the door's to say. A change gets a new name
# (`tenancy_key_2`).
KEY = """
CREATE FUNCTION tenancy_key_1(p_tenant uuid, p_key uuid)
RETURNS TABLE (digest bytea, name text, scopes text[], last_used_at timestamptz,
  expires_at timestamptz, revoked_at timestamptz, user_id uuid, user_name text, email text,
  is_active boolean, role text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.tenant', p_tenant::text, true), set_config('app.user', '', true),
          set_config('app.platform', '', true);
  RETURN QUERY
    SELECT k.digest, k.name::text, k.scopes::text[], k.last_used_at, k.expires_at, k.revoked_at,
           k.user_id, u.name::text, u.email::text, u.is_active, m.role::text
      FROM tenancy_apikey k
      JOIN tenancy_user u ON u.id = k.user_id
      LEFT JOIN tenancy_membership m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id
     WHERE k.tenant_id = p_tenant AND k.id = p_key;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0002_audit_in_sql")]

    operations = [migrations.RunSQL(KEY, "DROP FUNCTION tenancy_key_1(uuid, uuid)")]
