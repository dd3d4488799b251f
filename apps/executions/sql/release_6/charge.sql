-- Mended for all releases: the tenants are named as an array, too, or all lanes of the pool are read.
CREATE OR REPLACE FUNCTION engine_charge_1(p_pool text, p_tenants uuid[], p_ms double precision[])
RETURNS void
LANGUAGE sql AS $$
  WITH paid AS (
    SELECT x.tenant_id, c.ms FROM lane x JOIN unnest(p_tenants, p_ms) AS c(tenant_id, ms)
        ON c.tenant_id = x.tenant_id
     WHERE x.pool = p_pool AND x.tenant_id = ANY (p_tenants)
     ORDER BY x.tenant_id FOR NO KEY UPDATE OF x
  )
  UPDATE lane x SET vtime = x.vtime + p.ms / x.weight, blocked_until = NULL
    FROM paid p
   WHERE x.tenant_id = p.tenant_id AND x.pool = p_pool AND x.tenant_id = ANY (p_tenants)
$$;
