"""An API key with its mark: a statement can tell whether the key still is what a process has seen."""

from __future__ import annotations

from django.db import migrations

# The mark is over all that the door decides by and all that an actor is made of, `last_used_at` alone
# left out. The scope of the tenant is in force where it is asked.
KEY = """
CREATE FUNCTION tenancy_key_mark_2(p_tenant uuid, p_key uuid) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT md5(ROW(k.digest, k.name, k.scopes, k.expires_at, k.revoked_at, k.user_id, u.name, u.email,
                   u.is_active, m.role)::text)
      FROM tenancy_apikey k
      JOIN tenancy_user u ON u.id = k.user_id
      LEFT JOIN tenancy_membership m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id
     WHERE k.tenant_id = p_tenant AND k.id = p_key);
END $$;

CREATE FUNCTION tenancy_key_2(p_tenant uuid, p_key uuid)
RETURNS TABLE (digest bytea, name text, scopes text[], last_used_at timestamptz,
  expires_at timestamptz, revoked_at timestamptz, user_id uuid, user_name text, email text,
  is_active boolean, role text, mark text)
LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT k.*, tenancy_key_mark_2(p_tenant, p_key) FROM tenancy_key_1(p_tenant, p_key) k;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0003_key_in_sql")]

    operations = [migrations.RunSQL(KEY, "DROP FUNCTION tenancy_key_2, tenancy_key_mark_2")]
